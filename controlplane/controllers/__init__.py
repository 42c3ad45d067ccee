"""kube-controller-manager: the loops that make the cluster's state follow its objects."""
