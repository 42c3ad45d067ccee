"""kube-scheduler: binds pending pods to nodes."""
