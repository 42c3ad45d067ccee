"""For which zone an endpoint is meant (KEP-2433 topology-mode, KEP-4444 trafficDistribution). Pure.

`trafficDistribution: PreferClose` means every ready endpoint for its own zone. The annotation
`service.kubernetes.io/topology-mode: Auto` gives each zone endpoints in proportion to the processors of its nodes, and
no hints at all where that would load an endpoint by more than OVERLOAD above the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import objects, pods, quantity
from controlplane.controllers.endpoints_of_pods import ZONE

Object = dict[str, Any]
Event = tuple[str, str, str]
"""Type, reason, message."""

OVERLOAD = 0.2
_MODE, _DEPRECATED = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True, slots=True)
class Share:
    """How many endpoints a zone is to have. most: what leaves every other zone its least."""

    desired: float
    most: int


class Unfit(Exception):
    """No hints can be given; the text says why, as upstream does."""


def is_proportional(service: Object) -> bool:
    """Tell whether the Service asks for hints in proportion to processors; that goes before trafficDistribution."""
    annotations = objects.annotations(service)
    return annotations.get(_DEPRECATED, annotations.get(_MODE)) in ("Auto", "auto")


def give_hints(
    service: Object, endpoints: Mapping[str, Object], before: Mapping[str, str], zones: Mapping[str, float] | None
) -> None:
    """Write the hints that the Service asks for into rendered endpoints, by pod uid. Raises Unfit.

    before: the zones that endpoints are hinted for now. zones: see `weigh_zones`.
    """
    if is_proportional(service):
        hinted = allocate(endpoints, before, zones)
    elif service["spec"].get("trafficDistribution") == "PreferClose":
        hinted = {uid: zone for uid, each in endpoints.items() if _ready(each) and (zone := each.get("zone"))}
    else:
        return
    for uid, zone in hinted.items():
        endpoints[uid]["hints"] = {"forZones": [{"name": zone}]}


def weigh_zones(nodes: Iterable[Object]) -> dict[str, float] | None:
    """Return each zone's share of the processors of ready nodes; None when one lacks either.

    Nodes of the control plane do not count. The sum is 1; fewer than two zones are None as well.
    """
    found: Counter[str] = Counter()
    for node in nodes:
        if is_counted(node):
            zone, cpu = facts(node)
            if not zone or not cpu:
                return None
            found[zone] += cpu
    total = found.total()
    return {zone: cpu / total for zone, cpu in found.items()} if len(found) > 1 else None


def is_counted(node: Object) -> bool:
    """Tell whether a node's processors count: it is ready and no control plane."""
    return pods.is_ready(node) and not any(label in objects.labels(node) for label in _CONTROL_PLANE)


def facts(node: Object) -> tuple[str, int]:
    """Return the zone, and the processors in thousandths."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return objects.labels(node).get(ZONE) or "", quantity.milli(allocatable.get("cpu") or 0)


def allocate(
    endpoints: Mapping[str, Object], before: Mapping[str, str], zones: Mapping[str, float] | None
) -> dict[str, str]:
    """Return the zone of each ready endpoint. Raises Unfit.

    An endpoint keeps the zone that it was hinted for while that is allowed, so that a change of one moves few.
    """
    ready = {uid: each for uid, each in sorted(endpoints.items()) if _ready(each)}
    shares = plan_shares(zones, len(ready))
    if not all(each.get("zone") for each in ready.values()):
        raise Unfit("One or more endpoints do not have a zone specified")
    given: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for uid, each in ready.items():
        kept = before.get(uid, "")
        zone = kept if kept in shares and counts[kept] < shares[kept].most else str(each["zone"])
        given[uid] = zone
        counts[zone] += 1
    for giver, taker in plan_moves(shares, counts):
        of_giver = [uid for uid, zone in given.items() if zone == giver]
        # Who is lent out and could come home goes first.
        given[min(of_giver, key=lambda uid: ready[uid]["zone"] != taker)] = taker
    return given


def plan_shares(zones: Mapping[str, float] | None, total: int) -> dict[str, Share]:
    """Return each zone's share of so many endpoints. Raises Unfit when there are too few to spread them."""
    if zones is None:
        raise Unfit("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes")
    counts = f"({total} endpoints, {len(zones)} zones)"
    if len(zones) > total:
        raise Unfit(f"Insufficient number of endpoints {counts}")
    least = {zone: math.ceil(ratio * total / (1 + OVERLOAD)) for zone, ratio in zones.items()}
    spare = total - sum(least.values())
    if spare < 0:
        raise Unfit(
            f"Unable to allocate minimum required endpoints to each zone without exceeding overload threshold {counts}"
        )
    return {zone: Share(max(zones[zone] * total, least[zone]), least[zone] + spare) for zone in zones}


def plan_moves(shares: Mapping[str, Share], counts: Mapping[str, int]) -> Sequence[tuple[str, str]]:
    """Return from which zone to which endpoints are to move, an entry each; half an endpoint too many moves nothing."""
    over = {zone: counts.get(zone, 0) - share.desired for zone, share in sorted(shares.items())}
    moves: list[tuple[str, str]] = []
    while True:
        giver, taker = max(over, key=lambda zone: over[zone]), min(over, key=lambda zone: over[zone])
        surplus, need = over[giver], -over[taker]
        if surplus < 0.5 or need < 0.5 or (surplus < 1 and need < 1):
            return moves
        moves.append((giver, taker))
        over[giver] -= 1
        over[taker] += 1


def _ready(endpoint: Object) -> bool:
    return bool(endpoint["conditions"]["ready"])
