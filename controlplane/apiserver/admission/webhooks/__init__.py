"""Dynamic admission control: HTTPS servers that change or refuse requests (k8s.io/apiserver's plugin/webhook)."""
