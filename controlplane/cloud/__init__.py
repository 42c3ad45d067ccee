"""The cloud controller manager: what the cluster asks of the hypervisor that its machines live in."""
