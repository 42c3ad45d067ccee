"""The cloud called `kubelab`: the host that a lab's machines live on, whatever they are made of."""
