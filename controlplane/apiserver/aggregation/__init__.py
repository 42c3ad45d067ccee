"""Aggregation: group versions that other servers serve, as if they were this server's own (apiregistration.k8s.io)."""
