"""CustomResourceDefinitions: what makes a kind out of a stored object, and serves it like any other."""
