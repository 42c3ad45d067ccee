"""NetworkPolicies into rules of the kernel."""
