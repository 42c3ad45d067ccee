"""The pod network between nodes: who has which pods, the routes to them, and the CNI configuration of this node."""
