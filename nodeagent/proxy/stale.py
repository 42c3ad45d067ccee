"""UDP connections that outlived the rules they were made by. Pure.

UDP has no end that conntrack could see: a client that keeps its port keeps being sent to the endpoint that its first
packet got, dead or not, and one that sent before a service had endpoints keeps being sent past the rules.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from nodeagent.netlink.conntrack import Flow

from .services import Endpoint, ServicePort

Targets = Mapping[tuple[bytes, int], frozenset[bytes]]
"""Who may answer: (destination address, or b"" for any of the node's; destination port) → endpoint addresses."""


def targets(ports: Iterable[tuple[ServicePort, Sequence[Endpoint]]]) -> dict[tuple[bytes, int], frozenset[bytes]]:
    """For the UDP ports among `ports`. A port that is gone is given with no endpoints."""
    found: dict[tuple[bytes, int], frozenset[bytes]] = {}
    for port, endpoints in ports:
        if port.protocol != "udp":
            continue
        serving = frozenset(_packed(one.ip) for one in endpoints if one.ready or one.serving)
        for ip in (port.cluster_ip, *port.external_ips, *port.balancer_ips):
            found[_packed(ip), port.port] = serving
        if port.node_port:
            found[b"", port.node_port] = serving
    return found


def plan_stale(flows: Iterable[Flow], wanted: Targets) -> list[Flow]:
    """Those to a service's address that somebody answers who is no endpoint of it."""
    stale = []
    for flow in flows:
        serving = wanted.get((flow.destination, flow.destination_port))
        if serving is None:
            serving = wanted.get((b"", flow.destination_port))
        if serving is not None and flow.reply_source not in serving:
            stale.append(flow)
    return stale


def _packed(ip: str) -> bytes:
    return ipaddress.ip_address(ip).packed
