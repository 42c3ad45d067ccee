"""Lists of exact amounts by resource name (a ResourceList), and what a pod asks for as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.meta import quantity
from apimachinery.meta.pod_resources import POD_LEVEL_RESOURCES
from apimachinery.meta.quantity import Quantity

Amounts = dict[str, Quantity]

ONE = Quantity(quantity.NANO)
ZERO = Quantity(0)


def parse(resource_list: Mapping[str, Any] | None) -> Amounts:
    """Raises ValueError for an unparsable quantity."""
    return {name: quantity.parse(text) for name, text in (resource_list or {}).items()}


def spelled(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    """The amounts as an object holds them."""
    return {name: str(amount) for name, amount in amounts.items()}


def whole(number: int) -> Quantity:
    """So many whole units."""
    return Quantity(number * quantity.NANO)


def added(left: Mapping[str, Quantity], right: Mapping[str, Quantity]) -> Amounts:
    """Every name of either, summed."""
    found = dict(left)
    for name, amount in right.items():
        found[name] = found[name] + amount if name in found else amount
    return found


def raised(left: Mapping[str, Quantity], right: Mapping[str, Quantity]) -> Amounts:
    """Every name of either, the greater amount."""
    found = dict(left)
    for name, amount in right.items():
        if name not in found or found[name] < amount:
            found[name] = amount
    return found


def grown(new: Mapping[str, Quantity], old: Mapping[str, Quantity]) -> Amounts:
    """What `new` has more than `old`, never less than nothing."""
    found = {}
    for name, amount in new.items():
        difference = amount - old.get(name, ZERO)
        found[name] = difference if difference.nano > 0 else ZERO
    return found


def masked(amounts: Mapping[str, Quantity], names: Iterable[str]) -> Amounts:
    """The amounts of those names."""
    wanted = set(names)
    return {name: amount for name, amount in amounts.items() if name in wanted}


def exceeded(used: Mapping[str, Quantity], hard: Mapping[str, Quantity]) -> list[str]:
    """The names of which more is used than there may be; a name without a limit is never exceeded."""
    return [name for name, amount in used.items() if name in hard and hard[name] < amount]


def listed(amounts: Mapping[str, Quantity]) -> str:
    """`cpu=1,pods=3`, by name."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))


def pod_amounts(pod: Mapping[str, Any], section: str, *, overhead: bool, own: bool = True) -> Amounts:
    """The `requests` or `limits` of a whole pod at its worst moment (component-helpers' PodRequests and PodLimits).

    overhead: with the runtime class's, which raises only limits that are set. own: what the pod as a whole asks for
    takes the place of what its containers do.
    """
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        total = added(total, _of(container, section))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = _of(container, section)
        if container.get("restartPolicy") == "Always":
            total, sidecars = added(total, asked), added(sidecars, asked)
            peak = raised(peak, sidecars)
        else:
            peak = raised(peak, added(asked, sidecars))
    total = raised(total, peak)
    if own:
        said = _of(spec, section)
        total |= {name: said[name] for name in POD_LEVEL_RESOURCES if name in said}
    if overhead and spec.get("overhead"):
        more = parse(spec["overhead"])
        total = added(total, more if section == "requests" else masked(more, total))
    return total


def _of(container: Mapping[str, Any], section: str) -> Amounts:
    return parse((container.get("resources") or {}).get(section))
