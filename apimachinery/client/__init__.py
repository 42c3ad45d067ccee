"""Talking to an API server: kubeconfig, REST and watch, leader election, the cluster's certificates."""
