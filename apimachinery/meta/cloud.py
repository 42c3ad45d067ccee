"""What a cloud controller manager and the nodes tell each other by annotations."""

PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
"""On a Node: what its kubelet was started with (--node-ip), joined by a comma; the cloud must know these addresses."""

ANNOUNCED_BY = "cloud.kubelab.io/announced-by"
"""On a Service: the name of the Node that answers for its address. The cloud writes it, nodeagent/speaker reads it."""
