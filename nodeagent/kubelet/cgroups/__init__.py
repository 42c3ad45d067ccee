"""Cgroups: what they are called, what is written to them, the tree of files, and which ones the kubelet keeps."""

from .manager import Cgroups, PodLimits
from .settings import Applied

__all__ = ["Applied", "Cgroups", "PodLimits"]
