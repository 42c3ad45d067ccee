"""The kubelet's own API on port 10250."""
