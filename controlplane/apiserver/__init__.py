"""kube-apiserver: the front door of the cluster and the only process that talks to the store."""
