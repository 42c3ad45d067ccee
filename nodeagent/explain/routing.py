"""Where a host sends a packet, by its policy rules and routes as `ip rule` and `ip route` print them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .packet import Packet
from .snapshot import Host, Json
from .verdicts import in_network

_OWN_RULES = (0, 32766, 32767)  # local, main, default
_REFUSING = frozenset(("unreachable", "blackhole", "prohibit"))


@dataclass(frozen=True, slots=True)
class Route:
    """kind: `unicast`, `local`, `broadcast`, `unreachable`, `blackhole`, `prohibit`. gateway: "" for one on the link.

    nexthops: those of a multipath route, of which one is to be chosen: (device, gateway, weight). priority: of
    the policy rule that led here, where it is none of the kernel's own; table: "" where that rule itself decides.
    """

    kind: str
    destination: str
    device: str = ""
    gateway: str = ""
    source: str = ""
    table: str = "main"
    mtu: int = 0
    nexthops: tuple[tuple[str, str, int], ...] = ()
    priority: int | None = None

    @property
    def text(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        dev = f" dev {self.device}" if self.device else ""
        kind = "" if self.kind == "unicast" else f"{self.kind} "
        table = f"table {self.table} " if self.table else ""
        by = f" ({table}by ip rule {self.priority})" if self.priority is not None else ""
        return f"{kind}{self.destination}{via}{dev}{by}"


def look_up(host: Host, packet: Packet) -> Route | None:
    """The route that the packet takes; None where there is none."""
    for rule in host.rules:
        if not _applies(rule, packet):
            continue
        own = int(rule.get("priority", 0))
        priority = None if own in _OWN_RULES else own
        action = str(rule.get("action", ""))
        if action in _REFUSING:
            return Route(action, f"from {rule.get('src', 'all')}", table="", priority=own)
        found = _best(host, str(rule.get("table", "main")), packet.dst)
        if found is None or found.kind == "throw" or _is_suppressed(rule, found, packet.dst):
            continue
        return replace(found, priority=priority)
    return None


def _is_suppressed(rule: Json, route: Route, ip: str) -> bool:
    """`suppress_prefixlength`: routes as short as that do not count."""
    network = _network(route.destination, ip)
    most = rule.get("suppress_prefixlen")
    return most is not None and network is not None and network.prefixlen <= int(most)


def address_type(host: Host, ip: str) -> str:
    """As the match `addrtype` and nftables' `fib` see it."""
    if not ip:
        return "unspec"
    parsed = ipaddress.ip_address(ip)
    if parsed.is_multicast:
        return "multicast"
    if parsed.is_unspecified:
        return "unspec"
    found = _best(host, "local", ip)
    if found is not None and found.kind in ("local", "broadcast", "anycast"):
        return found.kind
    return "unicast"


def source_address(host: Host, device: str, toward: str) -> str:
    """The address that a packet out of `device` gets: one of the same network as the next hop, else the first."""
    mine = [one for one in host.addresses if one.link == device]
    near = [one.ip for one in mine if in_network(toward, f"{one.ip}/{one.prefix}")] if toward else []
    return next(iter((*near, *(one.ip for one in mine))), "")


def exact_routes(host: Host, destination: str) -> list[Route]:
    """Every route to exactly that network, in any table."""
    return [route for route in map(_route, host.routes) if route.destination == destination]


def _applies(rule: Json, packet: Packet) -> bool:
    judged = all(
        (
            _matches_network(rule, "src", "srclen", packet.src),
            _matches_network(rule, "dst", "dstlen", packet.dst),
            _matches_mark(rule, packet.mark),
            rule.get("iif", packet.iif) == packet.iif or (rule.get("iif") == "lo" and not packet.iif),
            rule.get("oif", packet.oif) == packet.oif,
            str(rule.get("ipproto", packet.protocol)) == packet.protocol,
            _matches_port(rule, "dport", packet.dport),
            _matches_port(rule, "sport", packet.sport),
        )
    )
    return judged != ("not" in rule)  # `ip -j` prints it without a value


def _matches_network(rule: Json, key: str, length: str, ip: str) -> bool:
    said = str(rule.get(key, "all"))
    if said == "all":
        return True
    return bool(ip) and in_network(ip, f"{said}/{rule[length]}" if length in rule else said)


def _matches_port(rule: Json, key: str, port: int) -> bool:
    if key in rule:
        return port == int(rule[key])
    return int(rule.get(f"{key}_start", port)) <= port <= int(rule.get(f"{key}_end", port))


def _matches_mark(rule: Json, mark: int) -> bool:
    if "fwmark" not in rule:
        return True
    mask = int(str(rule.get("fwmask", "0xffffffff")), 0)
    return mark & mask == int(str(rule["fwmark"]), 0) & mask


def _best(host: Host, table: str, ip: str) -> Route | None:
    found: list[tuple[int, int, int, Route]] = []
    for number, body in enumerate(host.routes):
        if str(body.get("table", "main")) != table or "dead" in (body.get("flags") or ()):
            continue
        route = _route(body)
        network = _network(route.destination, ip)
        if network is not None and ipaddress.ip_address(ip) in network:
            found.append((-network.prefixlen, int(body.get("metric", 0)), number, route))
    return min(found, key=lambda one: one[:3])[3] if found else None


def _network(text: str, like: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if text in ("default", "all"):
        return ipaddress.ip_network("::/0" if ":" in like else "0.0.0.0/0")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return network if (network.version == 6) == (":" in like) else None


def _route(body: Json) -> Route:
    return Route(
        kind=str(body.get("type", "unicast")),
        destination=str(body.get("dst", "default")),
        device=str(body.get("dev", "")),
        gateway=str(body.get("gateway") or (body.get("via") or {}).get("host", "")),
        source=str(body.get("prefsrc", "")),
        table=str(body.get("table", "main")),
        mtu=_metric(body.get("metrics") or (), "mtu"),
        nexthops=tuple(
            (str(hop.get("dev", "")), str(hop.get("gateway", "")), int(hop.get("weight", 1)))
            for hop in body.get("nexthops") or ()
        ),
    )


def _metric(metrics: Iterable[Any], name: str) -> int:
    return next((int(one[name]) for one in metrics if isinstance(one, dict) and name in one), 0)
