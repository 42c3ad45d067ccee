"""Graceful node shutdown (KEP-2000, KEP-2712): logind waits while the pods are ended in the order of their priority."""
