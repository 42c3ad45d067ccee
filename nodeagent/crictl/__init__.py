"""crictl: what operators ask the container runtime with when the API is gone. Standard library only."""
