"""May they: the Node and RBAC authorizers, and the roles every cluster starts with."""
