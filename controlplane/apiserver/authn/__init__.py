"""Who asks: client certificates, service account tokens, the front proxy, impersonation."""
