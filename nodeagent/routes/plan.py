"""How this node reaches the pods of every other: over the segment that they share, or through a tunnel. Pure."""

from __future__ import annotations

import enum
import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .nodes import NodeNetwork

DEFAULT_MTU = 1500
# Of what a tunnel puts in front of each packet (Ethernet, VXLAN, UDP, IP), by the family of the nodes' addresses.
OVERHEAD = {4: 50, 6: 70}


class Mode(enum.StrEnum):
    """auto: by way of the other node where it is on a segment of ours, through a tunnel where it is not."""

    AUTO = "auto"
    HOST_GW = "host-gw"
    VXLAN = "vxlan"


@dataclass(frozen=True, slots=True)
class Way:
    """How this machine reaches an address. on_link: without a router between; mtu: of its own interface, bytes."""

    on_link: bool
    mtu: int


@dataclass(frozen=True, slots=True, order=True)
class PodRoute:
    """destination: `10.244.2.0/24`; gateway: a node on a network that this one shares, or a tunnel's other end."""

    destination: str
    gateway: str
    tunnel: bool = False


@dataclass(slots=True)
class Tunnel:
    """This node's end. local: the node's address; addresses: the tunnel's own, one of each family; mtu: bytes.

    forwarding: hardware address of each other end → its node's address. neighbours: address of it in the tunnel →
    hardware address.
    """

    local: str
    mac: str
    addresses: tuple[str, ...]
    mtu: int = DEFAULT_MTU
    forwarding: dict[str, str] = field(default_factory=dict)
    neighbours: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """routes: by destination. tunnel: None when no node needs one."""

    routes: dict[str, PodRoute]
    tunnel: Tunnel | None = None


def tunnel_mac(node: str) -> str:
    """The hardware address of a node's end of the tunnel: its name's, so that nobody need be told."""
    digest = hashlib.sha256(f"kubelab-vxlan {node}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x0E, *digest[:5]))  # locally administered, unicast


def tunnel_address(pod_cidr: str) -> str:
    """The address of a node's end of the tunnel: the first of its pod subnet, which no pod is given."""
    return str(ipaddress.ip_network(pod_cidr).network_address)


def plan_network(
    own: str, nodes: Iterable[NodeNetwork], mode: Mode, ways: Mapping[str, Way], present: Mapping[str, PodRoute] = {}
) -> Plan:
    """own: this node's name; when it is not among the nodes it has no pods, and needs no way to any.

    ways: how the nodes' addresses are reached, this node's own too; one that is not there cannot be reached now, and
    the kind of its routes stays as in `present`. A subnet that two nodes claim goes to the first by name; our own and
    what overlaps it, to none: a route is made of what other nodes say of themselves, and must not take traffic for more
    than pods.
    """
    known = sorted(nodes, key=lambda node: node.name)
    mine = next((node for node in known if node.name == own), None)
    if mine is None:
        return Plan({})
    tunnel = _own_end(mine, ways)
    routes: dict[str, PodRoute] = {}
    for node in known:
        if node.name == own or set(node.addresses) & set(mine.addresses):
            continue
        for cidr in node.pod_cidrs:
            if cidr not in routes and _is_others(cidr, mine):
                kept = present.get(cidr)
                route = _route(cidr, node, mode, ways, tunnel, kept is not None and kept.tunnel)
                if route is not None:
                    routes[cidr] = route
    if tunnel is not None and not tunnel.forwarding and mode is not Mode.VXLAN:
        tunnel = None
    return Plan(routes, tunnel)


def diff(
    present: Mapping[str, PodRoute], wanted: Mapping[str, PodRoute]
) -> tuple[list[PodRoute], list[PodRoute]]:  # fmt: skip
    """(to add, to delete); one whose gateway changed is in both."""
    add = [route for key, route in sorted(wanted.items()) if present.get(key) != route]
    delete = [route for key, route in sorted(present.items()) if wanted.get(key) != route]
    return add, delete


def _own_end(mine: NodeNetwork, ways: Mapping[str, Way]) -> Tunnel | None:
    """None while this node has no address or no pod subnet."""
    local = mine.address(4) or mine.address(6)
    if not local or not mine.pod_cidrs:
        return None
    addresses = tuple(tunnel_address(cidr) for cidr in (mine.pod_cidr(4), mine.pod_cidr(6)) if cidr)
    tunnel = Tunnel(local, tunnel_mac(mine.name), addresses)
    _narrow(tunnel, ways.get(local))
    return tunnel


def _is_others(cidr: str, mine: NodeNetwork) -> bool:
    network = ipaddress.ip_network(cidr)
    own = [ipaddress.ip_network(one) for one in mine.pod_cidrs]
    if network.prefixlen == 0 or any(one.version == network.version and one.overlaps(network) for one in own):
        return False
    return not any(ipaddress.ip_address(ip) in network for ip in mine.addresses)


def _route(
    cidr: str, node: NodeNetwork, mode: Mode, ways: Mapping[str, Way], tunnel: Tunnel | None, tunnelled: bool
) -> PodRoute | None:
    network = ipaddress.ip_network(cidr)
    if any(ipaddress.ip_address(ip) in network for ip in node.addresses):
        return None
    gateway = node.address(network.version)
    way = ways.get(gateway)
    direct = bool(gateway) and (way.on_link if way is not None else not tunnelled)
    if mode is Mode.HOST_GW or (mode is Mode.AUTO and direct):
        return PodRoute(cidr, gateway) if gateway else None
    if tunnel is None:
        return None
    remote, mac = node.address(ipaddress.ip_address(tunnel.local).version), tunnel_mac(node.name)
    if not remote or mac == tunnel.mac or tunnel.forwarding.get(mac, remote) != remote:
        return None
    tunnel.forwarding[mac] = remote
    tunnel.neighbours[tunnel_address(cidr)] = mac
    _narrow(tunnel, ways.get(remote))
    return PodRoute(cidr, tunnel_address(cidr), tunnel=True)


def _narrow(tunnel: Tunnel, way: Way | None) -> None:
    if way is not None:
        room = way.mtu - OVERHEAD[ipaddress.ip_address(tunnel.local).version]
        tunnel.mtu = min(tunnel.mtu, room)
