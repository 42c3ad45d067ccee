"""The node's own certificates: asked for, kept, renewed."""
