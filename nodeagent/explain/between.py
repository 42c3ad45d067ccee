"""From node to node: over a wire that they share, by a router, or in VXLAN. Pure."""

from __future__ import annotations

from typing import NoReturn

from .bridge import Bridged
from .cluster import family_of
from .ground import Ended
from .packet import DROPPED, UNKNOWN, UNREACHABLE, Packet
from .snapshot import Host, Json, Link, NodeSnapshot
from .verdicts import in_network
from .world import Site, World

_AROUND = {4: 50, 6: 70}  # bytes that VXLAN puts around a packet, by the family of what carries it
_SILENT = ("FAILED", "INCOMPLETE")  # neighbours that were asked for and did not answer


class Between(Bridged):
    """The part of a walk that is between nodes."""

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
        if self.size > there.mtu:
            self.trail.found(
                "mtu", other.host.label,
                f"{there.name} takes {there.mtu} bytes, {link.name} of {site.node.name} sends up to {self.size}",
                f"ip link show {there.name}",
            )  # fmt: skip
        return self._receive(Site(other, other.host), there.name, packet)

    def _outside(self, site: Site, link: Link, packet: Packet, next_hop: str) -> Site | None:
        """The next hop is no node: fine for what is outside, a dead end for what is ours."""
        host, world = site.host, self._world
        where = f"by {link.name}" + (f" via {next_hop}" if next_hop != packet.dst else "")
        other = world.node_at(packet.dst) if packet.dst in world.node_addresses.values() else None
        if other is not None and other.host is not host:
            return self._routed(site, link, packet, next_hop, other)
        is_ours = packet.dst in world.service_names or world.is_pod_address(packet.dst)
        level = "stop" if is_ours else "ok"
        self.trail.step(host.label, f"leaves the cluster {where}", f"ip route get {packet.dst}", level=level)
        if packet.dst in world.service_names:
            what = f"nothing translates {world.call(packet.dst)} port {packet.dport}: it leaves {where}"
            raise Ended(DROPPED, what)
        if world.is_pod_address(packet.dst):
            self.trail.found(
                "route", host.label, f"no route to {world.call(packet.dst)}: it leaves {where}",
                f"ip route get {packet.dst}",
            )  # fmt: skip
            raise Ended(DROPPED, f"{world.call(packet.dst)} leaves the cluster {where}")
        return None

    def _routed(self, site: Site, link: Link, packet: Packet, next_hop: str, other: NodeSnapshot) -> Site | None:
        """To a node by a router that is no node, and is taken to pass it on: right for a node of another segment."""
        host, command = site.host, f"ip route get {packet.dst}"
        near = next((one.link for one in host.addresses if in_network(packet.dst, f"{one.ip}/{one.prefix}")), "")
        if near:
            what = f"{other.name} ({packet.dst}) is on the network of {near}, but the route leads by {next_hop}"
            mend = f"if nobody wants it: ip route del {packet.dst} via {next_hop}"
            self.trail.found("route", host.label, what, command, mend)
        _, state = host.neighbours.get((link.name, next_hop), ("", ""))
        if state in _SILENT:
            what = f"nobody answers for {next_hop}, by which the route to {self._world.call(packet.dst)} leads"
            self.trail.found("neighbour", host.label, what, f"ip neigh show {next_hop} dev {link.name}")
            raise Ended(UNREACHABLE, f"{host.label}: {what}")
        there = other.host.link_with(packet.dst)
        if there is None or not there.up:
            raise Ended(UNREACHABLE, f"the interface of {other.name} that has {packet.dst} is down")
        what = f"by the router {next_hop}, which is taken to pass it on, to {other.name} ({packet.dst})"
        self.trail.step(host.label, what, command, level="warn" if near else "ok")
        return self._receive(Site(other, other.host), there.name, packet)

    # VXLAN.

    def _tunnel(self, site: Site, link: Link, packet: Packet, next_hop: str) -> Site | None:
        """The neighbour's hardware address says which node, the forwarding database at which address."""
        host = site.host
        mac, _ = host.neighbours.get((link.name, next_hop), ("", ""))
        shown = f"ip neigh show {next_hop} dev {link.name}"
        if not mac:
            self._lost(host, f"{link.name} has no neighbour {next_hop}: nobody is asked in the tunnel", shown)
        self.trail.step(host.label, f"neighbour {next_hop} in the tunnel is {mac}", shown)
        shown = f"bridge fdb show dev {link.name}"
        toward = next((str(one["dst"]) for one in host.fdb if _is_entry(one, link, mac)), "")
        if not toward:
            self._lost(host, f"the forwarding database of {link.name} has no node for {mac} ({next_hop})", shown)
        carrying = self._world if family_of(toward) == family_of(packet.dst) else self._world.under
        if carrying is None or site.node.name not in carrying.nodes:
            raise Ended(UNKNOWN, f"{host.label}: nothing is known of how {toward} is reached")
        found = carrying.node_at(toward)
        other = self._world.nodes.get(found.name) if found is not None else None
        if other is None:
            for name, why in self._world.unread.items():
                if carrying.node_addresses.get(name) == toward:
                    raise Ended(UNKNOWN, f"{name} could not be read: {why}")
            self._lost(host, f"{link.name} sends what is for {next_hop} to {toward}, which is no node's", shown)
        there = self._far_end(site, link, mac, toward, other)
        self.trail.step(host.label, f"in VXLAN to {other.name} ({toward})", shown)
        self._carry(site, link, toward, other, carrying)
        return self._receive(Site(other, other.host), there.name, packet)

    def _far_end(self, site: Site, link: Link, mac: str, toward: str, other: NodeSnapshot) -> Link:
        """The interface on the other node that takes the frame out."""
        shown = f"bridge fdb show dev {link.name}"
        there = next((one for one in other.host.links.values() if one.kind == "vxlan" and one.mac == mac), None)
        if there is None:
            self._lost(
                site.host, f"{toward} is {other.name}, which has no VXLAN interface with the address {mac}", shown
            )
        if not there.up:
            self._link(other.host, there.name)
        mine, theirs = (link.network, link.tunnel[1]), (there.network, there.tunnel[1])
        if mine != theirs:
            ends = " and ".join(f"VNI {number} at UDP port {port}" for number, port in (mine, theirs))
            what = f"{link.name} and that of {other.name} are not of one network: {ends}"
            self._lost(site.host, what, f"ip -d link show {link.name}")
        return there

    def _lost(self, host: Host, what: str, command: str) -> NoReturn:
        self.trail.found("tunnel", host.label, what, command)
        self.trail.step(host.label, what, command, level="stop")
        raise Ended(DROPPED, f"{host.label}: {what}")

    def _carry(self, site: Site, link: Link, toward: str, other: NodeSnapshot, carrying: World) -> None:
        """The datagram around it has routes and rules of its own to pass. Of a refusal nobody hears."""
        source, port = link.tunnel
        around = _AROUND[family_of(toward)]
        here = carrying.nodes[site.node.name]
        self.trail.depth += 1
        self.trail.step(site.host.label, f"around it: {source or '?'} → {toward}:{port} UDP, {around} bytes more")
        try:
            arrived, fits = self._carries(
                carrying, Site(here, here.host), Packet(source, toward, "udp", port), self.size + around
            )
        except Ended as end:
            verdict = UNKNOWN if end.verdict == UNKNOWN else DROPPED
            raise Ended(verdict, f"VXLAN (UDP {port}) does not reach {other.name}: {end.why}") from None
        self.trail.depth -= 1
        if arrived is None or arrived.node.name != other.name or arrived.is_pod:
            raise Ended(DROPPED, f"VXLAN (UDP {port}) for {other.name} goes elsewhere")
        self.size = fits - around


def _is_entry(body: Json, link: Link, mac: str) -> bool:
    return body.get("mac") == mac and body.get("ifname", link.name) == link.name and "dst" in body
