"""Limits on what a pod writes to the node's disks: emptyDir sizes and ephemeral-storage. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.pod_resources import pod_requests
from apimachinery.meta.quantity import NANO, Quantity, parse
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
    total = _total(pod)
    if total is not None and usage.disk(frozenset((ROOTFS, LOGS, VOLUMES))).used > total.value:
        text = f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
        return "ephemeralpodfs.limit", text
    limits = {container["name"]: _limit(container) for container in pods.regular_containers(pod)}
    for container in usage.containers:
        allowed = limits.get(container.name)
        used = (container.logs or Disk()) + (Disk() if dedicated else container.rootfs or Disk())
        if allowed is not None and used.used > allowed.value > 0:
            text = f'Container {container.name} exceeded its local ephemeral storage limit "{allowed}". '
            return "ephemeralcontainerfs.limit", text
    return None


def _limit(container: Mapping[str, Any]) -> Quantity | None:
    text = ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
    return parse(str(text)) if text is not None else None


def _total(pod: Pod) -> Quantity | None:
    """The limits of the containers together, spelt in the suffixes of the first that has one."""
    total = pod_requests(pod, section="limits").get("ephemeral-storage")
    limits = map(_limit, [*pods.regular_containers(pod), *pods.init_containers(pod)])
    first = next((limit for limit in limits if limit is not None), None)
    return Quantity(total * NANO, first.format) if total is not None and first is not None else None


def _empty_dirs(pod: Pod) -> Iterator[tuple[str, Any]]:
    """Name and limit of the emptyDirs that have one. Those in memory are bounded by their file system."""
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("emptyDir") or {}
        if source.get("sizeLimit") and source.get("medium") != "Memory":
            yield volume["name"], parse(str(source["sizeLimit"]))
