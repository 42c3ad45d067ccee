"""Cgroups: what they are called, what is written to them, the tree of files, and which ones the kubelet keeps."""

from .manager import Cgroups, PodLimits

__all__ = ["Cgroups", "PodLimits"]
