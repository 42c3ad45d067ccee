"""Tracked connections that outlived the rules they were made by, or are older than those. Pure.

UDP has no end that conntrack could see: a client that keeps its port keeps being sent to the endpoint that its first
packet got, dead or not, and one that sent before a service had endpoints keeps being sent past the rules.

The same befalls TCP and SCTP at the beginning: who asks for a ClusterIP before this node has its rules leaves a
connection that nothing translates. For two minutes it catches whoever has that port next (seen: one of ten thousand
requests to a new Service refused), and the one who asked would never arrive, however often TCP repeats.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nodeagent.netlink.conntrack import IPPROTO_UDP, Flow

from .services import Endpoint, ServicePort

Targets = Mapping[tuple[bytes, int], frozenset[bytes]]
"""Who may answer: (destination address, or b"" for any of the node's; destination port) → endpoint addresses."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """answering: of UDP. translated: (ClusterIP, port) of TCP and SCTP, to which nothing may go as it came."""

    answering: Targets = field(default_factory=dict)
    translated: frozenset[tuple[bytes, int]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.answering or self.translated)


def translated(ports: Iterable[tuple[ServicePort, Sequence[Endpoint]]]) -> frozenset[tuple[bytes, int]]:
    """Of the ports among `ports` that are not UDP. Other addresses than ClusterIPs may be somebody's own."""
    return frozenset([(_packed(port.cluster_ip), port.port) for port, _ in ports if port.protocol != "udp"])


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


def plan_stale(flows: Iterable[Flow], wanted: Wanted) -> list[Flow]:
    """Those to a service's address that somebody answers who is no endpoint of it; else those not translated."""
    stale = []
    for flow in flows:
        to = (flow.destination, flow.destination_port)
        if flow.protocol != IPPROTO_UDP:
            if to in wanted.translated and flow.reply_source == flow.destination:
                stale.append(flow)
            continue
        serving = wanted.answering.get(to)
        if serving is None:
            serving = wanted.answering.get((b"", flow.destination_port))
        if serving is not None and flow.reply_source not in serving:
            stale.append(flow)
    return stale


def _packed(ip: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
