"""emptyDir: a directory, or memory, that lives as long as the pod (pkg/volume/emptydir)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery.meta.pod_resources import pod_level
from apimachinery.meta.quantity import value
from nodeagent.kubelet.pods import Pod

from . import mounts
from .payload import PayloadProblem


def memory_size(pod: Pod, source: Mapping[str, Any], allocatable: int) -> int:
    """The size of a volume in memory, in bytes; 0 for no limit: the least of what is asked for, what the pod's
    containers may use, and what the node has for pods (KEP-1967). Pure."""
    limits = [
        ((container.get("resources") or {}).get("limits") or {}).get("memory")
        for container in pod["spec"].get("containers") or ()
    ]
    known = [value(str(limit)) for limit in limits if limit is not None]
    sizes = [allocatable]
    if whole := pod_level(pod, "limits").get("memory"):
        sizes.append(whole)
    elif known and len(known) == len(limits):
        sizes.append(sum(known))
    if source.get("sizeLimit"):
        sizes.append(value(str(source["sizeLimit"])))
    return min((size for size in sizes if size > 0), default=0)


def page_size(pod: Pod, medium: str) -> str:
    """The page size of a medium HugePages or HugePages-SIZE, as mount(8) takes it. Raises PayloadProblem. Pure."""
    if medium != "HugePages":
        return medium.removeprefix("HugePages-").removesuffix("i")
    found: set[str] = {
        name.removeprefix("hugepages-")
        for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
        for name in ((container.get("resources") or {}).get("requests") or {})
        if name.startswith("hugepages-")
    }
    if not found:
        raise PayloadProblem("medium HugePages can be used only if pod requests hugepages")
    if len(found) > 1:
        raise PayloadProblem("medium HugePages can't be used when multiple page sizes are requested")
    return found.pop().removesuffix("i")


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
