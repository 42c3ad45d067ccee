"""What the API holds: the catalogue of resources, their schema, upstream's defaulting and validation."""
