"""Requests and limits as the kernel's numbers (pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta.pod_resources import container_requests, parse_amounts, pod_level, pod_requests, qos_class
from apimachinery.meta.quantity import milli, value
from nodeagent.kubelet import pods

_PERIOD = 100_000  # µs
_MIN_QUOTA = 1_000
_MIN_SHARES = 2
_MAX_SHARES = 262_144
_HUGEPAGES = "hugepages-"
# The kernel counts memory by pages.
_PAGE = 4096

_GUARANTEED_OOM = -997
_BEST_EFFORT_OOM = 1000


def cpu_shares(millicores: int) -> int:
    """cgroup v1 weight of a cpu request; 2 for none."""
    return max(_MIN_SHARES, min(_MAX_SHARES, millicores * 1024 // 1000)) if millicores else _MIN_SHARES


def quota_of(millicores: int, period: int = _PERIOD) -> int:
    """Microseconds of cpu per period that a limit allows; 0 for no limit."""
    return max(_MIN_QUOTA, millicores * period // 1000) if millicores else 0


def cpu_weight(shares: int) -> int:
    """cgroup v2 weight of v1 shares: the linear map that runc and the kubelet share."""
    return 1 + ((shares - 2) * 9999) // 262142


def oom_score_adj(pod: Mapping[str, Any], container: Mapping[str, Any], node_memory: int) -> int:
    """-997 for guaranteed and critical, 1000 for best effort, in between by the share of memory asked for.

    What the pod as a whole asks for beyond its containers is theirs in equal parts (KEP-2837). A sidecar is not to be
    killed before the containers it serves: it has no more than the least of them (KEP-753).
    node_memory: bytes of the node.
    """
    if pods.is_critical(pod):
        return _GUARANTEED_OOM
    quality = qos_class(pod)
    if quality == "Guaranteed":
        return _GUARANTEED_OOM
    if quality == "BestEffort":
        return _BEST_EFFORT_OOM
    request, share = _memory_request(container), _unasked_memory(pod)
    if pods.is_sidecar(container):
        request = max(request, min(map(_memory_request, pods.regular_containers(pod)), default=0))
    adjusted = 1000 - (1000 * (request + share)) // max(1, node_memory)
    return min(999, max(1000 + _GUARANTEED_OOM, adjusted))


def _memory_request(container: Mapping[str, Any]) -> int:
    return value(str(((container.get("resources") or {}).get("requests") or {}).get("memory") or "0"))


def _unasked_memory(pod: Mapping[str, Any]) -> int:
    """Each container's part of the memory that the pod asks for and none of its containers does."""
    own = pod_level(pod).get("memory", 0)
    if not own:
        return 0
    count = sum(kind != "ephemeral" for kind, _ in pods.all_containers(pod))
    return (own - container_requests(pod).get("memory", 0)) // max(1, count)


@dataclass(frozen=True, slots=True)
class MemoryQos:
    """The kernel's care for what containers ask for of memory, on cgroup v2 (KEP-2570; kuberuntime_container_linux.go).

    factor: `memoryThrottlingFactor`. allocatable: bytes that the node has for pods, 0 when it does not know yet.
    """

    factor: float
    allocatable: Callable[[], int]

    def settings(self, pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
        """memory.min is the request; memory.high, for who may use more, so much of the way from there to the most."""
        request, limit = _memory_request(container), container_limits(container, pod=pod).memory
        found = {"memory.min": str(request)} if request else {}
        most = limit or self.allocatable()
        if request != limit and most:
            high = int((request + (most - request) * self.factor) // _PAGE * _PAGE)
            if high > request:
                found["memory.high"] = str(high)
        return found


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cgroup is given; 0 for no limit. memory: bytes. hugepages: bytes by the size of a page in bytes."""

    cpu_shares: int
    cpu_quota: int = 0
    cpu_period: int = _PERIOD
    memory: int = 0
    hugepages: Mapping[int, int] = field(default_factory=dict)


def hugepage_limits(amounts: Mapping[str, int]) -> dict[int, int]:
    """Bytes by page size, of the resources `hugepages-<size>`."""
    return {
        value(name.removeprefix(_HUGEPAGES)): amount for name, amount in amounts.items() if name.startswith(_HUGEPAGES)
    }


def container_limits(
    container: Mapping[str, Any], *, cpu_quota: bool = True, pod: Mapping[str, Any] | None = None
) -> Limits:
    """A container's cgroup numbers: its cpu request defaults to its limit. cpu_quota: whether cpu limits hold.

    pod: whose own limits hold for a container that has none.
    """
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    own = pod_level(pod, "limits") if pod is not None else {}
    limit = milli(str(limits.get("cpu") or "0")) or own.get("cpu", 0)
    request = milli(str(requests["cpu"])) if "cpu" in requests else limit
    return Limits(
        cpu_shares(request),
        quota_of(limit) if cpu_quota else 0,
        memory=value(str(limits.get("memory") or "0")) or own.get("memory", 0),
        hugepages=hugepage_limits(parse_amounts(limits)),
    )


def pod_limits(pod: Mapping[str, Any], *, cpu_quota: bool = True) -> Limits:
    """The pod cgroup's numbers: a limit holds only if every container names one, or the pod itself."""
    requests = pod_requests(pod)
    if qos_class(pod) == "BestEffort":
        return Limits(_MIN_SHARES)
    total = pod_requests(pod, section="limits")
    own = pod_level(pod, "limits")
    containers = [c for kind, c in pods.all_containers(pod) if kind != "ephemeral"]

    def all_name(resource: str) -> bool:
        return bool(own.get(resource)) or all(
            milli(str(((c.get("resources") or {}).get("limits") or {}).get(resource) or "0")) for c in containers
        )

    return Limits(
        cpu_shares(requests.get("cpu", 0)),
        quota_of(total.get("cpu", 0)) if cpu_quota and all_name("cpu") else 0,
        memory=total.get("memory", 0) if all_name("memory") else 0,
        hugepages=hugepage_limits(requests),
    )


def node_limits(allocatable: Mapping[str, int]) -> Limits:
    """What the cgroup of all pods is given. allocatable: cpu in millicores, others in bytes."""
    return Limits(
        cpu_shares(allocatable.get("cpu", 0)),
        memory=allocatable.get("memory", 0),
        hugepages=hugepage_limits(allocatable),
    )
