"""Which pod goes first, and what it is told (pkg/kubelet/eviction/helpers.go). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from apimachinery.meta.pod_resources import pod_requests
from apimachinery.meta.quantity import format_bytes, format_value, parse
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from . import thresholds as signals
from .plan import Observations
from .thresholds import Threshold
from .usage import LOGS, ROOTFS, VOLUMES, ContainerUsage, PodUsage

Usages = Mapping[str, PodUsage]
"""By the pod's uid; a pod that is not in it could not be measured."""

REASON = "Evicted"


def disk_parts(signal: str, *, dedicated: bool, split: bool) -> frozenset[str]:
    """What of a pod lies on the file system of a disk signal. dedicated, split: as in `thresholds.with_derived`."""
    if not dedicated:
        return frozenset((ROOTFS, LOGS, VOLUMES))
    of_images = signal.startswith("imagefs.")
    if split:
        return frozenset() if of_images else frozenset((ROOTFS, LOGS, VOLUMES))
    of_nodes = signal.startswith("nodefs.")
    return frozenset((LOGS, VOLUMES)) if of_nodes else frozenset((ROOTFS,))


def rank(signal: str, active: Sequence[Pod], usages: Usages, parts: frozenset[str] = frozenset()) -> list[Pod]:
    """The pods in the order in which they are to go: above their requests, low priority, most above the request."""
    if signal == signals.PIDS:
        return sorted(active, key=lambda pod: (priority(pod), *_unmeasured(pod, usages, lambda u: -u.processes)))
    resource = signals.SIGNALS[signal][0]

    def used(usage: PodUsage) -> int:
        if resource == "memory":
            return usage.memory
        disk = usage.disk(parts)
        return disk.used if resource == "ephemeral-storage" else disk.inodes

    def order(pod: Pod) -> tuple[Any, ...]:
        requests = pod_requests(pod)
        exceeds = _unmeasured(pod, usages, lambda u: used(u) <= requests.get(resource, 0))
        # Of inodes nothing can be requested; upstream subtracts the storage there too.
        asked = requests.get("memory" if resource == "memory" else "ephemeral-storage", 0)
        return (*exceeds, priority(pod), *_unmeasured(pod, usages, lambda u: asked - used(u)))

    return sorted(active, key=order)


def priority(pod: Pod) -> int:
    return int(pod["spec"].get("priority") or 0)


def _unmeasured(pod: Pod, usages: Usages, of: Callable[[PodUsage], int]) -> tuple[bool, int]:
    """A sort key that puts a pod whose usage is not known before the others."""
    usage = usages.get(pods.uid(pod))
    return (usage is not None, of(usage) if usage is not None else 0)


def message(
    resource: str, pod: Pod, usage: PodUsage | None, met: Sequence[Threshold], observations: Observations
) -> str:
    """Why the pod is evicted, in upstream's words, the space at the end included."""
    text = f"The node was low on resource: {resource}. "
    threshold = next((t for t in met if t.resource == resource and t.signal in observations), None)
    if threshold is not None:
        seen = observations[threshold.signal]
        spell = format_bytes if resource in ("memory", "ephemeral-storage") else format_value
        text += f"Threshold quantity: {threshold.amount.shown(seen.capacity)}, available: {spell(seen.available)}. "
    for name, used, request in _offenders(resource, pod, usage):
        text += f"Container {name} was using {used}, request is {request}, has larger consumption of {resource}. "
    return text


def event_annotations(resource: str, pod: Pod, usage: PodUsage | None) -> dict[str, str]:
    """What the event about the eviction says to programs; nothing of a pod that could not be measured."""
    if usage is None:
        return {}
    found = list(_offenders(resource, pod, usage))
    return {
        "offending_containers": ",".join(name for name, _, _ in found),
        "offending_containers_usage": ",".join(used for _, used, _ in found),
        "starved_resource": resource,
    }


def _offenders(resource: str, pod: Pod, usage: PodUsage | None) -> Iterator[tuple[str, str, str]]:
    """(name, what it uses, what it asked for) of each container that uses more than it asked for."""
    specs = {c["name"]: c for kind, c in pods.all_containers(pod) if kind != "ephemeral"}
    for container in usage.containers if usage is not None else ():
        spec, used = specs.get(container.name), _used(resource, container)
        if spec is None or used is None:
            continue
        request = parse(str(((spec.get("resources") or {}).get("requests") or {}).get(resource) or "0"))
        if used > request.value:
            yield container.name, format_bytes(used), str(request)


def _used(resource: str, container: ContainerUsage) -> int | None:
    if resource == "memory":
        return container.memory
    if resource == "ephemeral-storage" and container.rootfs is not None and container.logs is not None:
        return container.rootfs.used + container.logs.used
    return None
