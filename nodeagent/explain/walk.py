"""The walk of one packet and its answer, from host to host, as the kernels would pass them on. Pure.

    pod ─ veth ─ bridge ─ [prerouting] ─ route ─ [forward] ─ [postrouting] ─ wire ─ the next node ─ … ─ socket

With bridge-nf-call-iptables the hooks run on the bridge already; a destination that is rewritten to one of the same
bridge stays there (br_netfilter_hooks.c, br_nf_pre_routing_finish), which is where hairpin matters.
"""

from __future__ import annotations

from dataclasses import dataclass

from .choices import Chooser
from .cluster import family_of
from .ground import Ended, Ground
from .hooks import FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING
from .packet import ANSWERS, DROPPED, REFUSED, UNKNOWN, UNREACHABLE, Outcome, Packet
from .routing import Route, address_type, look_up, source_address
from .snapshot import Host, Link, NodeSnapshot
from .verdicts import in_network
from .world import Site, World

_MAX_HOPS = 16
_AROUND = {4: 50, 6: 70}  # bytes that VXLAN puts around a packet, by the family of what carries it


@dataclass(frozen=True, slots=True)
class Start:
    """Where the packet comes from: a pod or node (site), or from outside to the node `entry`."""

    packet: Packet
    site: Site | None = None
    entry: NodeSnapshot | None = None


class Walk(Ground):
    """One way. `run` may be called once."""

    def __init__(self, world: World, start: Start, chooser: Chooser) -> None:
        super().__init__(world, chooser)
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
            backend, seen_as = f"{packet.dst}:{packet.dport}", packet.src
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
        self._size = link.mtu
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
        self.trail.found("closed", host.label, f"nobody listens on {packet.protocol} {port}", command)
        self.trail.step(host.label, f"nobody listens on {packet.protocol} {port}: refused", command, level="stop")
        return REFUSED, f"nobody listens on port {port} of {self._world.call(packet.dst)}"

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

    # On a bridge.

    def _from_port(self, site: Site, port: Link, packet: Packet, next_hop: str, own: Link) -> Site | None:
        """A frame of a pod reaches its node."""
        node, host = Site(site.node, site.node.host), site.node.host
        self._link(host, port.name)
        if not port.master:
            return self._receive(node, port.name, packet)
        bridge = self._link(host, port.master)
        if port.port_state not in ("forwarding", ""):
            what = f"port {port.name} of {bridge.name} is {port.port_state}"
            self.trail.found("link", host.label, what, f"ip -d link show {port.name}")
            raise Ended(UNREACHABLE, what)
        at_node = any(one.link == bridge.name and one.ip == next_hop for one in host.addresses)
        if not at_node and not self._world.holders(site.node, bridge.name, next_hop):
            self._nobody(host, bridge.name, next_hop)
        self._judge_neighbour(site.host, own.name, next_hop, [bridge] if at_node else [])
        filtered = host.sysctl(_bridge_sysctl(packet)) or bridge.nf_call
        to = f"{bridge.name} through port {port.name}"
        self.trail.step(host.label, f"arrives on {to}", f"bridge -d link show dev {port.name}")
        if not filtered:
            if at_node:
                return self._receive(node, bridge.name, packet)
            self.trail.found(
                "bridge-netfilter", host.label, "packets that stay on the bridge pass the rules by",
                "sysctl net.bridge.bridge-nf-call-iptables",
            )  # fmt: skip
            return self._to_port(node, bridge, port, packet, next_hop, hooks=False)
        packet.iif, packet.oif, before = bridge.name, "", packet.dst
        self._hook(node, PREROUTING, packet, physical=(port.name, ""))
        if packet.dst != before:
            found = look_up(host, packet)
            if found is not None and found.kind == "unicast" and found.device == bridge.name:
                return self._to_port(node, bridge, port, packet, found.gateway or packet.dst)
        elif not at_node:
            return self._to_port(node, bridge, port, packet, next_hop)
        return self._receive(node, bridge.name, packet, prerouted=True)

    def _to_port(
        self, node: Site, bridge: Link, port: Link | None, packet: Packet, next_hop: str, hooks: bool = True
    ) -> Site | None:
        """Out of a bridge. port: where the frame came in; None for one that the node itself sends."""
        host = node.host
        holders = self._world.holders(node.node, bridge.name, next_hop)
        if not holders:
            self._nobody(host, bridge.name, next_hop)
        out, pod = self._choose_holder(host, bridge, next_hop, holders)
        if port is not None and port.name == out.name and not out.hairpin:
            self.trail.found(
                "hairpin", host.label, f"port {out.name} of {bridge.name} does not send back where a frame came from",
                f"bridge -d link show dev {out.name}",
            )  # fmt: skip
            raise Ended(DROPPED, f"hairpin is off on {out.name}: a pod does not reach itself")
        if port is not None and hooks:
            packet.iif = packet.oif = bridge.name
            self._hook(node, FORWARD, packet, physical=(port.name, out.name))
            self._hook(node, POSTROUTING, packet, physical=(port.name, out.name))
            self._tracker.leave(host, packet)
        self._link(host, out.name)
        if out.port_state not in ("forwarding", ""):
            raise Ended(UNREACHABLE, f"port {out.name} of {bridge.name} is {out.port_state}")
        self._fit(host, out, silent=True)
        out_of = f"out of {bridge.name} through port {out.name}"
        self.trail.step(host.label, out_of, f"bridge -d link show dev {out.name}")
        if pod is None:
            raise Ended(UNKNOWN, f"the pod behind {out.name} could not be read")
        return self._arrive(Site(node.node, pod), pod.by_index(out.peer), packet)

    def _choose_holder(
        self, host: Host, bridge: Link, ip: str, holders: list[tuple[Link, Host | None]]
    ) -> tuple[Link, Host | None]:
        """The one whose hardware address the node knows; where several have the address, one of them answered first."""
        if len(holders) > 1:
            names = " and ".join(f"{port.name} ({pod.netns if pod is not None else '?'})" for port, pod in holders)
            what = f"{self._world.call(ip)} is held behind {names}"
            self.trail.found("duplicate-address", host.label, what, f"ip neigh show {ip} dev {bridge.name}")
        known, _ = host.neighbours.get((bridge.name, ip), ("", ""))
        for port, pod in holders:
            link = pod.by_index(port.peer) if pod is not None else None
            if known and link is not None and link.mac == known:
                return port, pod
        if len(holders) > 1:
            return holders[self._chooser.pick([1 / len(holders)] * len(holders))]
        return holders[0]

    # Between nodes.

    def _wire(self, site: Site, link: Link, packet: Packet, next_hop: str) -> Site | None:
        host, world = site.host, self._world
        shown = f"ip neigh show {next_hop} dev {link.name}"
        other = next((one for one in world.nodes.values() if one is not site.node and one.host.holds(next_hop)), None)
        if other is None:
            for name, why in world.unread.items():
                if world.node_addresses.get(name) == next_hop:
                    raise Ended(UNKNOWN, f"{name} could not be read: {why}")
            return self._outside(site, link, packet, next_hop)
        there = other.host.link_with(next_hop)
        if there is None or not there.up:
            raise Ended(UNREACHABLE, f"the interface of {other.name} that has {next_hop} is down")
        self._judge_neighbour(host, link.name, next_hop, [there])
        self.trail.step(host.label, f"over the wire from {link.name} to {other.name} ({next_hop})", shown)
        if self._size > there.mtu:
            self.trail.found(
                "mtu", other.host.label,
                f"{there.name} takes {there.mtu} bytes, {link.name} of {site.node.name} sends up to {self._size}",
                f"ip link show {there.name}",
            )  # fmt: skip
        return self._receive(Site(other, other.host), there.name, packet)

    def _tunnel(self, site: Site, link: Link, packet: Packet, next_hop: str) -> Site | None:
        """VXLAN: the neighbour's hardware address says which node, the forwarding database at which address."""
        mac, _ = site.host.neighbours.get((link.name, next_hop), ("", ""))
        toward = next((str(one.get("dst", "")) for one in site.host.fdb if one.get("mac") == mac and "dst" in one), "")
        other = self._world.node_at(toward) if toward else None
        if other is None:
            what = f"{link.name} does not know where {next_hop} is"
            self.trail.found("neighbour", site.host.label, what, f"bridge fdb show dev {link.name}")
            raise Ended(DROPPED, what)
        there = next((one for one in other.host.links.values() if one.kind == "vxlan" and one.mac == mac), None)
        if there is None or not there.up:
            raise Ended(DROPPED, f"{other.name} has no VXLAN interface that is up with the address {mac}")
        self.trail.step(site.host.label, f"in VXLAN to {other.name} ({toward})", f"bridge fdb show dev {link.name}")
        self._carry(site, link, toward, other)
        return self._receive(Site(other, other.host), there.name, packet)

    def _carry(self, site: Site, link: Link, toward: str, other: NodeSnapshot) -> None:
        """The datagram around it has routes and rules of its own to pass. Of a refusal nobody hears."""
        source, port = link.tunnel
        if family_of(source or toward) != family_of(self._asked.dst):
            self.trail.step(site.host.label, f"not looked at: what carries it to {toward}", level="warn")
            return
        outer = Packet(source, toward, "udp", port)
        around = _AROUND[family_of(toward)]
        self._size += around
        try:
            arrived = self._local_out(site, outer)
        except Ended as end:
            verdict = UNKNOWN if end.verdict == UNKNOWN else DROPPED
            raise Ended(verdict, f"VXLAN (UDP {port}) does not reach {other.name}: {end.why}") from None
        if arrived is None or arrived.host is not other.host:
            raise Ended(DROPPED, f"VXLAN (UDP {port}) for {other.name} goes elsewhere")
        self._size -= around

    def _outside(self, site: Site, link: Link, packet: Packet, next_hop: str) -> Site | None:
        """The next hop is no node: fine for what is outside, a dead end for what is ours."""
        where = f"by {link.name}" + (f" via {next_hop}" if next_hop != packet.dst else "")
        self.trail.step(site.host.label, f"leaves the cluster {where}", f"ip route get {packet.dst}")
        if packet.dst in self._world.service_names:
            what = f"nothing translates {self._world.call(packet.dst)} port {packet.dport}: it leaves {where}"
            raise Ended(DROPPED, what)
        if self._world.is_pod_address(packet.dst):
            self.trail.found(
                "route", site.host.label, f"no route to {self._world.call(packet.dst)}: it leaves {where}",
                f"ip route get {packet.dst}",
            )  # fmt: skip
            raise Ended(DROPPED, f"{self._world.call(packet.dst)} leaves the cluster {where}")
        return None

    # Into a host.

    def _arrive(self, site: Site, link: Link | None, packet: Packet) -> Site | None:
        if link is None:
            raise Ended(UNKNOWN, f"the interface of {site.host.label} could not be read")
        self._link(site.host, link.name)
        return self._receive(site, link.name, packet)

    def _receive(self, site: Site, iif: str, packet: Packet, prerouted: bool = False) -> Site | None:
        host = site.host
        packet.iif, packet.oif = iif, ""
        if not prerouted:
            self._hook(site, PREROUTING, packet)
        if address_type(host, packet.src) == "local" and not host.sysctl(f"net/ipv4/conf/{iif}/accept_local"):
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
            self.trail.found("forwarding", host.label, f"does not forward what comes by {iif}", f"sysctl {name}")
            raise Ended(DROPPED, f"{host.label} does not forward (ip_forward is 0)")
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


def _bridge_sysctl(packet: Packet) -> str:
    return f"net.bridge.bridge-nf-call-{'ip6tables' if ':' in packet.dst else 'iptables'}"
