"""What is written about who did what: policy, events, the log file (audit.k8s.io/v1)."""
