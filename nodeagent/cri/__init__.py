"""The gRPC client of the container runtime: CRI (runtime.v1) and containerd's events."""
