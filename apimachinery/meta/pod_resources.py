"""How much of each resource a pod asks for (KEP-753 sidecars, KEP-2837 pod-level resources; scheduler, kubelet, quota).

Amounts are integers keyed by resource name: `cpu` in millicores, everything else in whole units (bytes, counts),
rounded up.

A pod's own `spec.resources` count wherever they are: the API server takes them away while its gate PodLevelResources is
closed, and so does a kubelet whose gate is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta import quantity

Amounts = dict[str, int]

_QOS_RESOURCES = ("cpu", "memory")
# What may be asked for by a pod as a whole in 1.32.
POD_LEVEL_RESOURCES = ("cpu", "memory")


def parse_amounts(resource_list: Mapping[str, Any] | None) -> Amounts:
    """Parse a ResourceList. Raises ValueError for an unparsable quantity."""
    return {
        name: quantity.milli(str(text)) if name == "cpu" else quantity.value(str(text))
        for name, text in (resource_list or {}).items()
    }


def qos_class(pod: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort (pkg/apis/core/v1/helper/qos). Raises ValueError for a malformed quantity."""
    spec = pod.get("spec") or {}
    if spec.get("resources") is not None:
        containers = [spec]  # the pod's own say it alone
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requested = limited = False
    guaranteed = True
    for container in containers:
        resources = container.get("resources") or {}
        requests, limits = parse_amounts(resources.get("requests")), parse_amounts(resources.get("limits"))
        requests = {name: amount for name, amount in requests.items() if name in _QOS_RESOURCES and amount}
        limits = {name: amount for name, amount in limits.items() if name in _QOS_RESOURCES and amount}
        requested, limited = requested or bool(requests), limited or bool(limits)
        if set(limits) != set(_QOS_RESOURCES) or any(limits.get(name) != value for name, value in requests.items()):
            guaranteed = False
    if not requested and not limited:
        return "BestEffort"
    return "Guaranteed" if guaranteed and containers else "Burstable"


def pod_level(pod: Mapping[str, Any], section: str = "requests") -> Amounts:
    """What the pod as a whole asks for, beside its containers; empty when it says nothing. section: or "limits"."""
    said = ((pod.get("spec") or {}).get("resources") or {}).get(section) or {}
    return parse_amounts({name: said[name] for name in POD_LEVEL_RESOURCES if name in said})


def _add(into: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + amount


def _raise_to(into: Amounts, floor: Mapping[str, int]) -> None:
    for name, amount in floor.items():
        if amount > into.get(name, 0):
            into[name] = amount


def pod_requests(
    pod: Mapping[str, Any], *, section: str = "requests", default: Mapping[str, int] | None = None
) -> Amounts:
    """Return what the whole pod needs at its worst moment.

    Containers and sidecars (init containers that restart always) add up; an ordinary init container counts as the
    maximum of itself plus the sidecars started before it. What the pod as a whole asks for takes the place of that
    sum. The runtime class's overhead comes on top.

    section: "requests" or "limits" of each container.
    default: amounts assumed for a container that names no amount for that resource (the scheduler's scoring); in a pod
    with requests of its own only where nobody at all names one.
    """
    spec = pod.get("spec") or {}
    own = pod_level(pod, section)
    if own and default:
        named = {**container_requests(pod, section=section), **own}
        default = {name: amount for name, amount in default.items() if name not in named}
    total = container_requests(pod, section=section, default=default)
    total.update(own)
    if spec.get("overhead"):
        _add(total, parse_amounts(spec["overhead"]))
    return total


def container_requests(
    pod: Mapping[str, Any], *, section: str = "requests", default: Mapping[str, int] | None = None
) -> Amounts:
    """What the pod's containers need together at their worst moment, whatever the pod itself says."""
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _container(container, section, default))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        amounts = _container(container, section, default)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(sidecars, amounts)
            _raise_to(peak, sidecars)
        else:
            _add(amounts, sidecars)
            _raise_to(peak, amounts)
    _raise_to(total, peak)
    return total


def _container(container: Mapping[str, Any], section: str, default: Mapping[str, int] | None) -> Amounts:
    amounts = parse_amounts((container.get("resources") or {}).get(section))
    for name, amount in (default or {}).items():
        amounts.setdefault(name, amount)
    return amounts
