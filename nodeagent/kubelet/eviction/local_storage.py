"""Limits on what a pod writes to the node's disks: emptyDir sizes and ephemeral-storage. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.meta.pod_resources import pod_requests
from apimachinery.meta.quantity import format_bytes, parse
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .usage import LOGS, ROOTFS, VOLUMES, Disk, PodUsage


def has_limits(pod: Pod) -> bool:
    """Whether the pod's use of disks must be measured at all."""
    return any(_empty_dirs(pod)) or "ephemeral-storage" in pod_requests(pod, section="limits")


def excess(pod: Pod, usage: PodUsage, *, dedicated: bool) -> tuple[str, str] | None:
    """(limit, message) with which a pod that is over a limit is evicted; None while it keeps to them.

    dedicated: images and writable layers are on a disk of their own, so a container's limit is about its logs only.
    """
    for name, limit in _empty_dirs(pod):
        if usage.volumes.get(name, Disk()).used > limit.value > 0:
            return "emptydirfs.limit", f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    total = pod_requests(pod, section="limits").get("ephemeral-storage")
    if total is not None and usage.disk(frozenset((ROOTFS, LOGS, VOLUMES))).used > total:
        text = f"Pod ephemeral local storage usage exceeds the total limit of containers {format_bytes(total)}. "
        return "ephemeralpodfs.limit", text
    limits = {
        container["name"]: parse(str(((container.get("resources") or {}).get("limits") or {})["ephemeral-storage"]))
        for container in pods.regular_containers(pod)
        if ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
    }
    for container in usage.containers:
        allowed = limits.get(container.name)
        used = (container.logs or Disk()) + (Disk() if dedicated else container.rootfs or Disk())
        if allowed is not None and used.used > allowed.value > 0:
            text = f'Container {container.name} exceeded its local ephemeral storage limit "{allowed}". '
            return "ephemeralcontainerfs.limit", text
    return None


def _empty_dirs(pod: Pod) -> Iterator[tuple[str, Any]]:
    """Name and limit of the emptyDirs that have one. Those in memory are bounded by their file system."""
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("emptyDir") or {}
        if source.get("sizeLimit") and source.get("medium") != "Memory":
            yield volume["name"], parse(str(source["sizeLimit"]))
