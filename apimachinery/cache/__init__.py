"""A local, indexed copy of what the API holds of one kind, kept current by a watch."""
