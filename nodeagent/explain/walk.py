"""The walk of one packet and its answer, from host to host, as the kernels would pass them on. Pure.

    pod ─ veth ─ bridge ─ [prerouting] ─ route ─ [forward] ─ [postrouting] ─ wire ─ the next node ─ … ─ socket

What is on bridges is in `bridge`, what is between nodes in `between`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .between import Between
from .choices import Chooser
from .ground import Ended
from .hooks import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from .packet import ANSWERS, DROPPED, REFUSED, UNKNOWN, UNREACHABLE, Outcome, Packet, Trail, join_endpoint
from .routing import Route, address_type, look_up, source_address
from .snapshot import Host, Link, NodeSnapshot
from .verdicts import in_network
from .world import Site, World

_MAX_HOPS = 16


@dataclass(frozen=True, slots=True)
class Start:
    """Where the packet comes from: a pod or node (site), or from outside to the node `entry`."""

    packet: Packet
    site: Site | None = None
    entry: NodeSnapshot | None = None


class Walk(Between):
    """One way. `run` may be called once."""

    def __init__(self, world: World, start: Start, chooser: Chooser, trail: Trail | None = None) -> None:
        super().__init__(world, chooser, trail or Trail())
        self._start, self._asked = start, start.packet
        self._hops = 0

    def run(self) -> Outcome:
        packet = self._start.packet.copy()
        self._asked = packet.copy()
        backend = seen_as = ""
        try:
            site = self._send(packet)
            if site is None:
                raise Ended(UNKNOWN, f"{packet.dst} is outside: what happens there is not known here")
            backend, seen_as = join_endpoint(packet.dst, packet.dport), packet.src
            verdict, why = self._take(site, packet)
            answer = Packet(packet.dst, packet.src, packet.protocol, packet.sport, packet.dport, reply=True)
            self.trail.step(site.host.label, f"answer: {answer}")
            self._answer(site, answer)
        except Ended as end:
            verdict, why = end.verdict, end.why
        return Outcome(
            verdict, self._chooser.probability, why, backend, seen_as,
            tuple(self.trail.steps), tuple(self.trail.findings),
        )  # fmt: skip

    def _send(self, packet: Packet) -> Site | None:
        start = self._start
        if start.site is not None:
            return self._local_out(start.site, packet)
        if start.entry is None:
            raise Ended(UNKNOWN, "nothing is known of where it enters the cluster")
        link = start.entry.host.link_with(packet.dst) or self._uplink(start.entry.host, packet.src)
        if link is None:
            raise Ended(UNKNOWN, f"{start.entry.name} has no interface toward {packet.src}")
        self.size = link.mtu
        return self._receive(Site(start.entry, start.entry.host), link.name, packet)

    def _take(self, site: Site, packet: Packet) -> tuple[str, str]:
        """What the one that the packet reached does with it."""
        host, port = site.host, packet.dport
        command = f"ss -Hln{packet.protocol[0]} sport = :{port}"
        if site.is_pod:
            command = f"ip netns exec {host.netns} {command}"
        if host.listens(packet.protocol, packet.dst, port):
            self.trail.step(host.label, f"somebody listens on {packet.protocol} {port}", command)
            return ANSWERS, f"{self._world.call(packet.dst)} answers on port {port}"
        what, mend = self._closed(site, packet)
        self.trail.found("closed", host.label, what, command, mend)
        self.trail.step(host.label, f"{what}: refused", command, level="stop")
        return REFUSED, f"{what}, at {self._world.call(packet.dst)}"

    @staticmethod
    def _closed(site: Site, packet: Packet) -> tuple[str, str]:
        """(why nobody takes it, what to do)."""
        host, protocol, port = site.host, packet.protocol, packet.dport
        if only := host.listening(protocol, port):
            what = f"{protocol} {port} is listened on at {', '.join(only)} only"
            return what, "let the server listen on every address (0.0.0.0 or ::)"
        others = ", ".join(map(str, host.ports(protocol))) or "no port"
        what = f"nobody listens on {protocol} {port}"
        if not site.is_pod:
            return what, f"start what should listen there (it listens on {others})"
        return (
            what,
            f"the pod listens on {others}: is that the Service's targetPort? Else kubectl logs: does the server run?",
        )

    def _answer(self, site: Site, answer: Packet) -> None:
        asked = self._asked
        try:
            arrived = self._local_out(site, answer)
        except Ended as end:
            raise Ended(DROPPED, f"the answer does not come back: {end.why}") from None
        start = self._start
        home = start.site.host if start.site is not None else None
        if (arrived.host if arrived is not None else None) is not home:
            raise Ended(DROPPED, f"the answer arrives at {arrived.host.label if arrived else 'somebody outside'}")
        if answer.src != asked.dst or answer.sport != asked.dport:
            self.trail.step(
                arrived.host.label if arrived else "outside", f"the answer comes from {answer.src}, not {asked.dst}",
                level="stop",
            )  # fmt: skip
            raise Ended(DROPPED, f"the answer comes from {self._world.call(answer.src)}: the client asked {asked.dst}")

    def _carries(self, world: World, site: Site, packet: Packet, size: int) -> tuple[Site | None, int]:
        below = Walk(world, self._start, self._chooser, self.trail)
        below.size = size
        return below._local_out(site, packet), below.size

    # Out of a host.

    def _local_out(self, site: Site, packet: Packet) -> Site | None:
        host = site.host
        route = self._route(site, packet)
        packet.src = packet.src or route.source or self._own_source(host, route, packet.dst)
        packet.iif, packet.oif = "", route.device
        before = (packet.dst, packet.mark)
        self._hook(site, OUTPUT, packet)
        if (packet.dst, packet.mark) != before:
            route = self._route(site, packet)
            packet.oif = route.device
        is_local = route.kind in ("local", "broadcast")
        if is_local:
            packet.oif = "lo"
        self._hook(site, POSTROUTING, packet)
        self._tracker.leave(host, packet)
        if is_local:
            packet.iif, packet.oif = "lo", ""
            self._hook(site, PREROUTING, packet, again=True)
            self._hook(site, INPUT, packet, again=True)
            self.trail.step(host.label, f"delivered here, to {self._world.call(packet.dst)}")
            return site
        return self._transmit(site, route, packet)

    def _own_source(self, host: Host, route: Route, toward: str) -> str:
        return toward if route.kind == "local" else source_address(host, route.device, route.gateway or toward)

    def _transmit(self, site: Site, route: Route, packet: Packet) -> Site | None:
        self._hops += 1
        if self._hops > _MAX_HOPS:
            raise Ended(DROPPED, "the packet goes round in circles")
        host, next_hop = site.host, route.gateway or packet.dst
        link = self._link(host, route.device)
        self._fit(host, link)
        self._leaves(host, link, packet)
        if site.is_pod:
            port = self._world.veth_of(site, link)
            if port is None:
                raise Ended(UNREACHABLE, f"the other end of {link.name} is not on {site.node.name}")
            return self._from_port(site, port, packet, next_hop, link)
        if link.kind == "bridge":
            return self._to_port(site, link, None, packet, next_hop)
        if link.kind == "vxlan":
            return self._tunnel(site, link, packet, next_hop)
        if packet.dst in self._world.pod_names and (pod := site.node.pod_behind(link)) and pod.holds(packet.dst):
            return self._arrive(Site(site.node, pod), pod.by_index(link.peer), packet)
        return self._wire(site, link, packet, next_hop)

    # Into a host.

    def _arrive(self, site: Site, link: Link | None, packet: Packet) -> Site | None:
        if link is None:
            raise Ended(UNKNOWN, f"the interface of {site.host.label} could not be read")
        self._link(site.host, link.name)
        return self._receive(site, link.name, packet)

    def _receive(self, site: Site, iif: str, packet: Packet, prerouted: bool = False) -> Site | None:
        host = site.host
        self._comes(host, iif, packet)
        packet.iif, packet.oif = iif, ""
        if not prerouted:
            self._hook(site, PREROUTING, packet)
        is_own = ":" not in packet.src and address_type(host, packet.src) == "local"
        if is_own and not host.sysctl(f"net/ipv4/conf/{iif}/accept_local"):
            self.trail.found("duplicate-address", host.label, f"{packet.src} is its own address, and came from {iif}")
            raise Ended(DROPPED, f"{host.label} drops packets from its own address (martian source)")
        route = self._route(site, packet)
        if route.kind in ("local", "broadcast"):
            self._hook(site, INPUT, packet)
            self._tracker.leave(host, packet)
            self.trail.step(host.label, f"delivered here, to {self._world.call(packet.dst)}")
            return site
        self._may_forward(host, iif, packet)
        packet.oif = route.device
        self._hook(site, FORWARD, packet)
        self._hook(site, POSTROUTING, packet)
        self._tracker.leave(host, packet)
        return self._transmit(site, route, packet)

    def _may_forward(self, host: Host, iif: str, packet: Packet) -> None:
        version = "ipv6" if ":" in packet.dst else "ipv4"
        name = f"net/{version}/conf/{iif}/forwarding"
        if not host.sysctl(name, 1):
            mend = f"sysctl -w net.{'ipv6.conf.all.forwarding' if version == 'ipv6' else 'ipv4.ip_forward'}=1"
            self.trail.found("forwarding", host.label, f"does not forward what comes by {iif}", f"sysctl {name}", mend)
            raise Ended(DROPPED, f"{host.label} does not forward what comes by {iif}")
        if version == "ipv6":
            return
        strict = max(host.sysctl("net/ipv4/conf/all/rp_filter"), host.sysctl(f"net/ipv4/conf/{iif}/rp_filter"))
        back = look_up(host, Packet(packet.dst, packet.src, packet.protocol, 0))
        if strict == 1 and (back is None or back.device != iif):
            self.trail.found(
                "rp-filter", host.label, f"{packet.src} would be answered by another interface than {iif}",
                f"sysctl net.ipv4.conf.{iif}.rp_filter; ip route get {packet.src}",
            )  # fmt: skip
            raise Ended(DROPPED, f"rp_filter of {host.label}: {packet.src} is not expected on {iif}")

    @staticmethod
    def _uplink(host: Host, toward: str) -> Link | None:
        near = (one.link for one in host.addresses if in_network(toward, f"{one.ip}/{one.prefix}"))
        route = look_up(host, Packet("", toward, "tcp", 0))
        name = next(near, route.device if route is not None else "")
        return host.links.get(name)
