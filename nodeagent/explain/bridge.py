"""What a node's bridge does with a frame: which port it goes out by, and what keeps it from that. Pure.

With bridge-nf-call-iptables the hooks run on the bridge already; a destination that is rewritten to one of the same
bridge stays there (br_netfilter_hooks.c, br_nf_pre_routing_finish), which is where hairpin matters.
"""

from __future__ import annotations

from .frames import build_frame
from .ground import Ended, Ground
from .hooks import FORWARD, POSTROUTING, PREROUTING
from .packet import DROPPED, UNKNOWN, UNREACHABLE, Packet
from .routing import look_up
from .snapshot import Host, Link
from .world import Site

Holder = tuple[Link, Host | None]


class Bridged(Ground):
    """The part of a walk that is on bridges."""

    def _from_port(self, site: Site, port: Link, packet: Packet, next_hop: str, own: Link) -> Site | None:
        """A frame of a pod reaches its node."""
        node, host = Site(site.node, site.node.host), site.node.host
        self._link(host, port.name)
        at_node = host.link_with(next_hop)
        self._judge_neighbour(site.host, own.name, next_hop, self._right(site, port, next_hop, at_node))
        known, _ = site.host.neighbours.get((own.name, next_hop), ("", ""))
        self._comes(host, port.name, packet, build_frame(packet, own.mac, known))
        if not port.master:
            if at_node is not None and at_node.kind == "bridge":
                self._no_port(host, port, at_node)
            return self._receive(node, port.name, packet)
        bridge = self._link(host, port.master)
        self._judge_port(host, bridge, port)
        vlan = self._vlan_of(host, bridge, port)
        is_here = at_node is not None and at_node.name == bridge.name
        if not is_here and not self._world.holders(site.node, bridge.name, next_hop):
            self._nobody_there(node, bridge, next_hop)
        filtered = host.sysctl(_bridge_sysctl(packet)) or bridge.nf_call
        to = f"{bridge.name} through port {port.name}"
        self.trail.step(host.label, f"arrives on {to}", f"bridge -d link show dev {port.name}")
        if not filtered:
            if is_here:
                self._may_leave(host, bridge, bridge, vlan)
                return self._receive(node, bridge.name, packet)
            self.trail.found(
                "bridge-netfilter", host.label, "packets that stay on the bridge pass the rules by",
                f"sysctl {_bridge_sysctl(packet)}", f"modprobe br_netfilter; sysctl -w {_bridge_sysctl(packet)}=1",
            )  # fmt: skip
            return self._to_port(node, bridge, port, packet, next_hop, hooks=False)
        packet.iif, packet.oif, before = bridge.name, "", packet.dst
        self._hook(node, PREROUTING, packet, physical=(port.name, ""))
        if packet.dst != before:
            found = look_up(host, packet)
            if found is not None and found.kind == "unicast" and found.device == bridge.name:
                return self._to_port(node, bridge, port, packet, found.gateway or packet.dst, rewritten=True)
        elif not is_here:
            return self._to_port(node, bridge, port, packet, next_hop)
        self._may_leave(host, bridge, bridge, vlan)
        return self._receive(node, bridge.name, packet, prerouted=True)

    def _to_port(
        self, node: Site, bridge: Link, port: Link | None, packet: Packet, next_hop: str, hooks: bool = True,
        rewritten: bool = False,
    ) -> Site | None:  # fmt: skip
        """Out of a bridge. port: where the frame came in; None for one that the node itself sends. rewritten: the node
        put its own idea of the hardware address in."""
        host = node.host
        holders = self._world.holders(node.node, bridge.name, next_hop)
        if not holders:
            self._nobody_there(node, bridge, next_hop)
        if port is None or rewritten:
            self._judge_neighbour(host, bridge.name, next_hop, _interfaces(holders))
        out, pod = self._choose_holder(host, bridge, next_hop, holders)
        if port is not None and port.name == out.name and not out.hairpin:
            self.trail.found(
                "hairpin", host.label, f"port {out.name} of {bridge.name} does not send back where a frame came from",
                f"bridge -d link show dev {out.name}", f"bridge link set dev {out.name} hairpin on",
            )  # fmt: skip
            raise Ended(DROPPED, f"hairpin is off on {out.name}: a pod does not reach itself")
        if port is not None and hooks:
            packet.iif = packet.oif = bridge.name
            self._hook(node, FORWARD, packet, physical=(port.name, out.name))
            self._hook(node, POSTROUTING, packet, physical=(port.name, out.name))
            self._tracker.leave(host, packet)
        own = pod.by_index(out.peer) if pod is not None else None
        if pod is not None and own is not None and not own.up:
            self._link(pod, own.name)  # it takes the carrier from this end
        self._link(host, out.name)
        self._judge_port(host, bridge, out)
        if port is not None and port.isolated and out.isolated:
            what = f"ports {port.name} and {out.name} of {bridge.name} are isolated: nothing goes from one to the other"
            self._kept(
                host, what, f"bridge -d link show dev {out.name}", f"bridge link set dev {out.name} isolated off"
            )
        self._may_leave(host, bridge, out, self._vlan_of(host, bridge, port or bridge))
        if pod is not None and own is not None:
            self._judge_learnt(node, bridge, out, pod.label, own.mac)
        self._leaves(host, out, packet)
        self._fit(host, out, silent=True)
        out_of = f"out of {bridge.name} through port {out.name}"
        self.trail.step(host.label, out_of, f"bridge -d link show dev {out.name}")
        if pod is None:
            raise Ended(UNKNOWN, f"the pod behind {out.name} could not be read")
        return self._arrive(Site(node.node, pod), pod.by_index(out.peer), packet)

    def _right(self, site: Site, port: Link, ip: str, at_node: Link | None) -> list[Link]:
        """The interfaces that answer a pod for an address, where that is known."""
        if at_node is not None:
            return [at_node] if at_node.name == port.master else []
        return _interfaces(self._world.holders(site.node, port.master, ip)) if port.master else []

    def _choose_holder(self, host: Host, bridge: Link, ip: str, holders: list[Holder]) -> Holder:
        """The one whose hardware address the node knows; where several have the address, one of them answered first."""
        if len(holders) > 1:
            names = " and ".join(f"{port.name} ({pod.netns if pod is not None else '?'})" for port, pod in holders)
            what = f"{self._world.call(ip)} is held behind {names}"
            mend = "take the address from the one that is no pod of the API's: ip netns exec NAME ip address del …"
            self.trail.found("duplicate-address", host.label, what, f"ip neigh show {ip} dev {bridge.name}", mend)
        known, _ = host.neighbours.get((bridge.name, ip), ("", ""))
        for port, pod in holders:
            link = pod.by_index(port.peer) if pod is not None else None
            if known and link is not None and link.mac == known:
                return port, pod
        if len(holders) > 1:
            return holders[self._chooser.pick([1 / len(holders)] * len(holders))]
        return holders[0]

    # What keeps a frame from a port.

    def _judge_port(self, host: Host, bridge: Link, port: Link) -> None:
        if port.port_state not in ("forwarding", ""):
            what = f"port {port.name} of {bridge.name} is {port.port_state}"
            self.trail.found(
                "link", host.label, what, f"ip -d link show {port.name}", f"bridge link set dev {port.name} state 3"
            )
            raise Ended(UNREACHABLE, what)

    def _vlan_of(self, host: Host, bridge: Link, port: Link) -> int:
        """The VLAN in which the bridge takes a frame of the port; 0 where it does not look."""
        if not bridge.vlans:
            return 0
        members = host.members.get(port.name, {})
        found = next((number for number, flags in members.items() if "PVID" in flags), 0)
        if not found:
            what = f"{bridge.name} filters VLANs, and {port.name} has none for what comes without a tag"
            self._kept(host, what, f"bridge vlan show dev {port.name}", _join(bridge, port, 1))
        return found

    def _may_leave(self, host: Host, bridge: Link, out: Link, vlan: int) -> None:
        flags = host.members.get(out.name, {}).get(vlan)
        if vlan and (flags is None or "Egress Untagged" not in flags):
            state = "is not in it" if flags is None else "gets it with a tag"
            what = f"the frame is in VLAN {vlan} of {bridge.name}, and {out.name} {state}"
            self._kept(host, what, f"bridge vlan show dev {out.name}", _join(bridge, out, vlan))

    def _judge_learnt(self, node: Site, bridge: Link, out: Link, pod: str, mac: str) -> None:
        """Two ports with one hardware address: the bridge sends to the one it heard last."""
        host = node.host
        twins = [one.name for one in host.ports_of(bridge.name) if one.name != out.name and _has(node, one, mac)]
        if twins:
            what = f"{mac} of {pod} is also behind {' and '.join(twins)} of {bridge.name}"
            mend = "give one of the two another: ip netns exec NAME ip link set eth0 address …, or delete that pod"
            self.trail.found("duplicate-mac", host.label, what, f"bridge fdb show br {bridge.name}", mend)
        at, is_kept = host.learnt_at(bridge.name, mac)
        if at and at != out.name:
            what = f"{bridge.name} has {mac} of {pod} behind {at}, not behind {out.name}"
            mend = f"bridge fdb del {mac} dev {at} master; it learns anew from the pod's next frame"
            if is_kept or twins:
                self._kept(host, what, f"bridge fdb show br {bridge.name}", mend)
            self.trail.found("bridge-port", host.label, what, f"bridge fdb show br {bridge.name}", mend)

    def _kept(self, host: Host, what: str, command: str, mend: str) -> None:
        self.trail.found("bridge-port", host.label, what, command, mend)
        self.trail.step(host.label, what, command, level="stop")
        raise Ended(DROPPED, f"{host.label}: {what}")

    def _no_port(self, host: Host, port: Link, bridge: Link) -> None:
        what = f"{port.name}, the node's end of the pod's interface, is no port of {bridge.name}"
        self.trail.found(
            "link", host.label, what, f"ip link show {port.name}", f"ip link set {port.name} master {bridge.name}"
        )
        self.trail.step(host.label, what, f"ip link show {port.name}", level="stop")
        raise Ended(UNREACHABLE, f"{host.label}: {what}")

    def _nobody_there(self, node: Site, bridge: Link, ip: str) -> None:
        """Nobody on the bridge has the address; a pod that has it may hang beside it."""
        stray = self._world.stray(node.node, ip)
        if stray is not None:
            self._no_port(node.host, stray, bridge)
        self._nobody(node.host, bridge.name, ip)


def _interfaces(holders: list[Holder]) -> list[Link]:
    """The pods' own; none where one could not be read: then nothing is known for certain."""
    found = [pod.by_index(port.peer) if pod is not None else None for port, pod in holders]
    return [one for one in found if one is not None] if all(found) else []


def _has(node: Site, port: Link, mac: str) -> bool:
    return port.netns_id is not None and mac in node.node.macs.get(port.netns_id, ())


def _join(bridge: Link, port: Link, vlan: int) -> str:
    own = " self" if port.name == bridge.name else ""
    return (
        f"bridge vlan add dev {port.name} vid {vlan} pvid untagged{own}; "
        f"or no VLANs at all: ip link set {bridge.name} type bridge vlan_filtering 0"
    )


def _bridge_sysctl(packet: Packet) -> str:
    return f"net.bridge.bridge-nf-call-{'ip6tables' if ':' in packet.dst else 'iptables'}"
