"""metrics-server: the resource metrics API (metrics.k8s.io/v1beta1), made of what the kubelets measure."""
