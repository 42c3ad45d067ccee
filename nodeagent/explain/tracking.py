"""Connection tracking of one walk: what each host has seen of the connection, and what it makes of the answer."""

from __future__ import annotations

from dataclasses import dataclass

from .hooks import Tracking
from .packet import ESTABLISHED, INVALID, NEW, UNTRACKED, Packet, Trail
from .snapshot import Flow, Host
from .world import World


@dataclass(slots=True)
class Seen:
    """A connection on one host: its first packet as it came, and as it left."""

    came: Packet
    left: Packet

    def answers(self, packet: Packet) -> bool:
        left = self.left
        return (packet.protocol, packet.src, packet.sport, packet.dst) == (
            left.protocol, left.dst, left.dport, left.src,
        )  # fmt: skip


class Tracker:
    """Of all hosts on the way."""

    def __init__(self, world: World, trail: Trail) -> None:
        self._world, self._trail = world, trail
        self._seen: dict[str, list[Seen]] = {}
        self._known: dict[tuple[str, int], Seen | Flow] = {}  # by host and packet: it passes several hooks

    def at(self, host: Host, packet: Packet) -> Tracking:
        """What happens to this packet on this host."""
        here = (host.label, id(packet))

        def look_up() -> None:
            self._known.pop(here, None)
            if packet.state == UNTRACKED:
                self._trail.found(
                    "conntrack", host.label,
                    "a rule exempts the packet from connection tracking; untracked packets are not translated",
                    "iptables-save -t raw",
                )  # fmt: skip
                return
            packet.dnat = packet.snat = False
            if (found := self._find(host, packet)) is not None:
                self._known[here] = found
                packet.state = ESTABLISHED
            elif packet.reply and packet.protocol == "tcp":
                packet.state = INVALID
            else:
                packet.state = NEW
                self._judge_flows(host, packet)
                self._seen.setdefault(host.label, []).append(Seen(packet.copy(), packet))

        def to() -> None:
            one = self._known.get(here)
            if isinstance(one, Flow):
                if (one.reply_src, one.reply_sport) != (packet.dst, packet.dport):
                    self._tell_flow(host, one)
                    packet.dst, packet.dport, packet.dnat = one.reply_src, one.reply_sport, True
            elif one is not None:
                packet.dst, packet.dport = one.came.src, one.came.sport
                packet.dnat, packet.snat = one.left.dnat, one.left.snat

        def from_() -> None:
            one = self._known.get(here)
            if isinstance(one, Flow):
                if one.reply_dst != packet.src:
                    packet.src, packet.snat = one.reply_dst, True
            elif one is not None:
                packet.src, packet.sport = one.came.dst, one.came.dport

        return Tracking(look_up, to, from_)

    def leave(self, host: Host, packet: Packet) -> None:
        """The packet leaves the host, or is taken there: as it is now, its answer is expected."""
        for seen in self._seen.get(host.label, ()):
            if seen.left is packet:
                seen.left = packet.copy()

    def _find(self, host: Host, packet: Packet) -> Seen | Flow | None:
        for seen in self._seen.get(host.label, ()):
            if packet.reply and seen.answers(packet):
                return seen
        if packet.reply or not packet.sport:
            return None
        for flow in host.flows:
            if (flow.protocol, flow.src, flow.sport, flow.dst, flow.dport) == packet.flow:
                self._seen.setdefault(host.label, []).append(Seen(packet.copy(), packet))
                return flow
        return None

    def _tell_flow(self, host: Host, flow: Flow) -> None:
        self._trail.step(host.label, f"conntrack: known, leads to {flow.reply_src}:{flow.reply_sport}", _list(flow))

    def _judge_flows(self, host: Host, packet: Packet) -> None:
        """Entries for the same address that lead where nobody is: a client that keeps its port meets them."""
        if host.conntrack_full:
            counts = "net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max"
            self._trail.found("conntrack", host.label, "the table of connections is full", f"sysctl {counts}")
        if packet.reply or packet.dst not in self._world.service_names:
            return
        for flow in host.flows:
            asked = (packet.protocol, packet.src, packet.dst, packet.dport)
            if (flow.protocol, flow.src, flow.dst, flow.dport) != asked:
                continue
            if flow.protocol == "udp" and flow.reply_src not in self._world.backends:
                where = "nowhere" if flow.reply_src == flow.dst else f"to {flow.reply_src}, which is no endpoint"
                self._trail.found(
                    "conntrack", host.label,
                    f"what the client sends from port {flow.sport} follows an old entry, translated {where}",
                    _list(flow),
                )  # fmt: skip


def _list(flow: Flow) -> str:
    return f"conntrack -L -p {flow.protocol} --orig-src {flow.src} --orig-dst {flow.dst} --orig-port-dst {flow.dport}"
