"""The Pod Security Standards and their admission (KEP-2579; k8s.io/pod-security-admission 0.32)."""
