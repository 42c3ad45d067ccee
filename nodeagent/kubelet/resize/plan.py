"""What a resize asks for, whether the node can give it, and what a container has: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.meta.pod_resources import pod_requests
from nodeagent.kubelet import pods, qos
from nodeagent.kubelet.admission.predicates import shortages
from nodeagent.kubelet.cgroups import Applied
from nodeagent.kubelet.pods import Container, Pod

DEFERRED, INFEASIBLE, IN_PROGRESS = "Deferred", "Infeasible", "InProgress"

Resources = Mapping[str, Any]
_RESIZABLE = ("cpu", "memory")
# The kernel counts memory by pages.
_PAGE = 4096


def asked(pod: Pod) -> dict[str, Resources]:
    """What the spec says, by container. Init containers and debuggers are not resized in 1.32."""
    return {container["name"]: container.get("resources") or {} for container in pods.regular_containers(pod)}


def granted(pod: Pod, held: Mapping[str, Resources]) -> Pod:
    """The pod with what the node has granted in place of what its spec asks for."""
    if asked(pod) == held:
        return pod
    containers = [
        {**container, "resources": held.get(container["name"], container.get("resources") or {})}
        for container in pods.regular_containers(pod)
    ]
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def judge(pod: Pod, others: Sequence[Pod], allocatable: Mapping[str, int]) -> str:
    """ "" when the node can give what the pod asks for now; "Infeasible" when it never can (canResizePod)."""
    wanted = pod_requests(pod)
    if any(wanted.get(name, 0) > allocatable.get(name, 0) for name in _RESIZABLE):
        return INFEASIBLE
    short = {shortage.resource for shortage in shortages(pod, others, allocatable)}
    return DEFERRED if short & set(_RESIZABLE) else ""


def wanted(pod: Pod, container: Container, *, v2: bool, cpu_quota: bool) -> Applied:
    """What the container's cgroup is to hold."""
    limits = qos.container_limits(container, cpu_quota=cpu_quota, pod=pod)
    weight = qos.cpu_weight(limits.cpu_shares) if v2 else limits.cpu_shares
    return Applied(weight, limits.cpu_quota, limits.memory // _PAGE * _PAGE)


def needs_restart(container: Container, have: Applied, want: Applied) -> bool:
    """Whether a resource that changes is one for which the container asks to be restarted."""
    policies = {each.get("resourceName"): each.get("restartPolicy") for each in container.get("resizePolicy") or ()}
    changed = {
        "cpu": (have.cpu_weight, have.cpu_quota) != (want.cpu_weight, want.cpu_quota),
        "memory": have.memory != want.memory,
    }
    return any(policies.get(name) == "RestartContainer" for name, differs in changed.items() if differs)


def shown(container: Container, have: Applied, want: Applied, *, v2: bool) -> dict[str, Any]:
    """`resources` of the container's status: what it really has (convertContainerStatusResources)."""
    resources = container.get("resources") or {}
    found = {kind: dict(resources[kind]) for kind in ("requests", "limits") if resources.get(kind)}
    requests, limits = found.get("requests", {}), found.get("limits", {})
    if have.cpu_weight != want.cpu_weight and "cpu" in requests:
        shares = 2 + ((have.cpu_weight - 1) * 262142) // 9999 if v2 else have.cpu_weight
        requests["cpu"] = f"{-(-shares * 1000 // 1024)}m"
    if have.cpu_quota != want.cpu_quota and "cpu" in limits:
        limits["cpu"] = f"{have.cpu_quota // 100}m"
    if have.memory != want.memory and "memory" in limits:
        limits["memory"] = str(have.memory)
    return found
