"""What `kubectl get` prints: Table rows per kind, with upstream's columns."""
