"""Which routes are wanted, and what a Node says of its own. Pure (controllers/route/route_controller.go)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.cloud.provider import Route

Object = dict[str, Any]
NETWORK_UNAVAILABLE = "NetworkUnavailable"


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """create: what is missing, with the name of the node. delete: what is in nobody's place any more."""

    create: tuple[tuple[str, Route], ...]
    delete: tuple[Route, ...]


def wanted_routes(node: Object) -> list[Route]:
    """A route for each pod subnet of the node, by way of its address of the same family; none without an address."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    found = []
    for cidr in cidrs:
        version = ipaddress.ip_network(cidr).version
        gateway = next(
            (
                each["address"]
                for each in status.get("addresses") or []
                if each.get("type") == "InternalIP" and ipaddress.ip_address(each["address"]).version == version
            ),
            "",
        )
        if gateway:
            found.append(Route(cidr, gateway))
    return found


def plan_routes(nodes: Iterable[Object], present: Sequence[Route], pods: Sequence[str]) -> RoutePlan:
    """Compare. pods: the networks of all pods; what leads elsewhere is not ours to delete."""
    wanted = {route: node["metadata"]["name"] for node in nodes for route in wanted_routes(node)}
    networks = [ipaddress.ip_network(cidr) for cidr in pods]
    ours = [route for route in present if _within(route, networks)]
    return RoutePlan(
        create=tuple((name, route) for route, name in wanted.items() if route not in present),
        delete=tuple(route for route in ours if route not in wanted),
    )


def plan_condition(node: Object, routed: bool, now: str) -> Object | None:
    """The condition that tells whether the node's routes are there; None when it says so already."""
    shown = (node.get("status") or {}).get("conditions") or ()
    before = next((each for each in shown if each.get("type") == NETWORK_UNAVAILABLE), None)
    status = "False" if routed else "True"
    if before is not None and before.get("status") == status:
        return None
    reason = ("RouteCreated", "RouteController created a route")
    if not routed:
        reason = ("NoRouteCreated", "RouteController failed to create a route")
    return {
        "type": NETWORK_UNAVAILABLE, "status": status, "reason": reason[0], "message": reason[1],
        "lastTransitionTime": now, "lastHeartbeatTime": now,
    }  # fmt: skip


def _within(route: Route, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        destination = ipaddress.ip_network(route.destination)
    except ValueError:
        return False
    return any(network.version == destination.version and network.overlaps(destination) for network in networks)
