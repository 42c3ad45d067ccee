"""emptyDir: a directory, or memory, that lives as long as the pod (pkg/volume/emptydir)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery.meta.pod_resources import parse_amounts, pod_level
from apimachinery.meta.quantity import value
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.qos import hugepage_limits, pod_limits

from . import mounts
from .payload import PayloadProblem


def memory_size(pod: Pod, source: Mapping[str, Any], allocatable: int) -> int:
    """The size of a volume in memory, in bytes; 0 for no limit: the least of what is asked for, the limit of the pod's
    cgroup, and what the node has for pods (KEP-1967). Pure."""
    sizes = [allocatable, pod_limits(pod).memory]
    if source.get("sizeLimit"):
        sizes.append(value(str(source["sizeLimit"])))
    return min((size for size in sizes if size > 0), default=0)


def page_size(pod: Pod, medium: str) -> str:
    """The page size of a medium HugePages or HugePages-SIZE, in bytes: one that the pod asks for.

    Raises PayloadProblem. Pure.
    """
    asked = set(hugepage_limits(pod_level(pod)))
    for container in (*pods.init_containers(pod), *pods.regular_containers(pod)):
        asked |= set(hugepage_limits(parse_amounts((container.get("resources") or {}).get("requests") or {})))
    if medium != "HugePages":
        asked &= {value(medium.removeprefix("HugePages-"))}
    if len(asked) > 1:
        raise PayloadProblem(f"medium: {medium} can't be used if container requests multiple huge page sizes")
    if not asked:
        why = "hugePages storage requested, but there is no resource request for huge pages"
        raise PayloadProblem(f"medium {medium}: {why}")
    return str(asked.pop())


def ensure_empty_dir(
    place: Path, pod: Pod, source: Mapping[str, Any], *, gid: int | None, allocatable: int = 0
) -> Path:
    """Make the directory, and mount memory on it if that is its medium. Raises OSError, PayloadProblem."""
    made = not place.is_dir()
    place.mkdir(parents=True, exist_ok=True)
    medium = source.get("medium") or ""
    if medium and not mounts.is_mount_point(place):
        if medium == "Memory":
            mounts.mount_tmpfs(place, memory_size(pod, source, allocatable))
        else:
            limit = source.get("sizeLimit")
            mounts.mount_huge_pages(place, page_size(pod, medium), value(str(limit)) if limit else 0)
        made = True
    if made:
        mode = 0o777 | (stat.S_ISVTX if medium == "Memory" else 0)  # what a tmpfs has stays
        if gid is not None:
            os.chown(place, -1, gid)
            mode |= stat.S_ISGID
        place.chmod(mode)
    return place
