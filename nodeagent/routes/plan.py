"""Host-gateway routes: each other node's pod subnet by way of that node's address. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .nodes import NodeNetwork

FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True, order=True)
class PodRoute:
    """destination: `10.244.2.0/24`; gateway: an address on a network that this node shares."""

    destination: str
    gateway: str


def plan_routes(own: str, nodes: Iterable[NodeNetwork]) -> dict[str, PodRoute]:
    """By destination. A subnet that two nodes claim goes to the first by name; our own and what overlaps it, to none.

    A route is made of what other nodes say of themselves: it must not take traffic for more than pods.
    """
    known = sorted(nodes, key=lambda node: node.name)
    mine = [ipaddress.ip_network(cidr) for node in known if node.name == own for cidr in node.pod_cidrs]
    my_addresses = {address for node in known if node.name == own for address in node.addresses}
    found: dict[str, PodRoute] = {}
    for node in known:
        if node.name == own:
            continue
        for cidr in node.pod_cidrs:
            network = ipaddress.ip_network(cidr)
            gateway = node.address(network.version)
            if not gateway or gateway in my_addresses or ipaddress.ip_address(gateway) in network:
                continue
            if network.prefixlen == 0 or any(one.version == network.version and one.overlaps(network) for one in mine):
                continue
            found.setdefault(cidr, PodRoute(cidr, gateway))
    return found


def diff(
    present: Mapping[str, PodRoute], wanted: Mapping[str, PodRoute]
) -> tuple[list[PodRoute], list[PodRoute]]:  # fmt: skip
    """(to add, to delete); one whose gateway changed is in both."""
    add = [route for key, route in sorted(wanted.items()) if present.get(key) != route]
    delete = [route for key, route in sorted(present.items()) if wanted.get(key) != route]
    return add, delete
