"""Volumes: what they hold, putting it on the node, keeping it fresh, taking it away."""
