"""What the server itself puts into the store when it starts."""
