"""What happens to a packet on any host: its routes, its hooks, its interfaces; and where it ends. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from .choices import Chooser
from .frames import Frame, build_frame
from .hooks import PREROUTING, run_hook
from .packet import DROPPED, REFUSED, UNREACHABLE, Packet, Trail
from .routing import Route, address_type, look_up, source_address
from .snapshot import Host, Link
from .tracking import Tracker
from .traffic import EGRESS, INGRESS, Judged, judge_filters, judge_queue
from .verdicts import DROP, REJECT, Around, Hit, Verdict
from .world import Site, World

_RESETS = ("tcp-reset", "icmp-port-unreachable", "icmp6-port-unreachable")


class Ended(Exception):
    """The packet goes no further."""

    def __init__(self, verdict: str, why: str) -> None:
        super().__init__(why)
        self.verdict, self.why = verdict, why


class Ground(ABC):
    """One way of a packet, as far as one host is concerned. trail: what was seen."""

    def __init__(self, world: World, chooser: Chooser, trail: Trail) -> None:
        self._world, self._chooser, self.trail = world, chooser, trail
        self._tracker = Tracker(world, self.trail)
        self.size = 0  # bytes: the largest packet that fits through so far

    @abstractmethod
    def _receive(self, site: Site, iif: str, packet: Packet, prerouted: bool = False) -> Site | None:
        """The packet comes into a host; where it is taken in the end, None for outside."""

    @abstractmethod
    def _arrive(self, site: Site, link: Link | None, packet: Packet) -> Site | None:
        """The packet comes into a pod."""

    @abstractmethod
    def _local_out(self, site: Site, packet: Packet) -> Site | None:
        """The host itself sends the packet."""

    @abstractmethod
    def _carries(self, world: World, site: Site, packet: Packet, size: int) -> tuple[Site | None, int]:
        """The host sends a packet of `size` bytes around another: who takes it, and how many bytes fit through."""

    def _route(self, site: Site, packet: Packet) -> Route:
        host = site.host
        command = f"ip route get {packet.dst}"
        if packet.iif and packet.src:
            command += f" from {packet.src} iif {packet.iif}"
        if site.is_pod:
            command = f"ip netns exec {host.netns} {command}"
        route = look_up(host, packet)
        if route is None or route.kind in ("unreachable", "prohibit", "blackhole"):
            what = f"no route to {self._world.call(packet.dst)}" if route is None else f"the route {route.text}"
            self.trail.found("route", host.label, what, command, _undo(route, 6 if ":" in packet.dst else 4))
            self.trail.step(host.label, what, command, level="stop")
            raise Ended(DROPPED if route is not None and route.kind == "blackhole" else UNREACHABLE, what)
        if route.nexthops:
            total = sum(weight for *_, weight in route.nexthops)
            chosen = self._chooser.pick([weight / total for *_, weight in route.nexthops])
            device, gateway, _ = route.nexthops[chosen]
            route = replace(route, device=device, gateway=gateway, nexthops=())
        self.trail.step(host.label, f"route to {packet.dst}: {route.text}", command)
        return route

    def _hook(
        self, site: Site, hook: str, packet: Packet, *, again: bool = False, physical: tuple[str, str] = ("", "")
    ) -> None:
        """Raises Ended where a rule drops or refuses. again: the packet was seen here before, over `lo`."""
        host, trail = site.host, self.trail
        around = Around(
            packet,
            self._chooser,
            lambda ip: address_type(host, ip),
            lambda device: source_address(host, device, packet.dst),
            host.recent,
            *physical,
        )
        before = packet.copy()
        verdict = run_hook(host, hook, around, None if again else self._tracker.at(host, packet))
        for hit in around.hits:
            level = "stop" if verdict.by is hit and verdict.kind in (DROP, REJECT) else "ok"
            trail.step(host.label, f"[{hook}] {hit.place}: {hit.text}", hit.command, hit.counters, level)
        for hit in around.doubts:
            what = f"[{hook}] {hit.place} cannot be judged from here: {hit.text}"
            trail.step(host.label, what, hit.command, level="warn")
        if (packet.src, packet.dst, packet.dport, packet.sport) != (before.src, before.dst, before.dport, before.sport):
            trail.step(host.label, f"[{hook}] rewritten: {before} becomes {packet}")
        if host.conntrack_full and hook == PREROUTING and packet.state == "NEW" and not packet.reply:
            raise Ended(DROPPED, f"{host.label}: nf_conntrack: table full, dropping packet")
        if verdict.kind in (DROP, REJECT):
            self._stopped(host, hook, verdict)

    def _stopped(self, host: Host, hook: str, verdict: Verdict) -> None:
        hit = verdict.by or Hit("", "", "", "")
        is_policy = hit.place.startswith("inet kubelab-policies")
        what = f"[{hook}] {hit.place}: {hit.text}"
        self.trail.found("policy" if is_policy else "drop", host.label, what, hit.command)
        by = f"on {host.label} by {'a NetworkPolicy, ' if is_policy else ''}{hit.place}"
        if verdict.kind == DROP:
            raise Ended(DROPPED, f"dropped {by}")
        raise Ended(REFUSED if verdict.how in _RESETS else UNREACHABLE, f"refused {by} ({verdict.how})")

    def _link(self, host: Host, name: str) -> Link:
        """The interface; raises Ended where it is missing or down."""
        link = host.links.get(name)
        if link is None or not link.up or not link.carrier:
            state = "missing" if link is None else "down" if not link.up else "without a carrier"
            mend = f"ip link set {name} up" if link is not None else "restart what makes it; a pod's: delete the pod"
            if link is not None and link.up:
                mend = "set its other end up"
            self.trail.found("link", host.label, f"{name} is {state}", f"ip link show {name}", mend)
            self.trail.step(host.label, f"{name} is {state}", f"ip link show {name}", level="stop")
            raise Ended(UNREACHABLE, f"{name} of {host.label} is {state}")
        return link

    def _leaves(self, host: Host, link: Link, packet: Packet) -> None:
        """Traffic control where it leaves an interface. Raises Ended where that drops it."""
        for one in judge_filters(host, link.name, EGRESS, packet, build_frame(packet, link.mac, "")):
            self._controlled(host, one, packet)
        if (queue := judge_queue(host, link.name, packet, link.mtu)) is not None:
            self._controlled(host, queue, packet)

    def _comes(self, host: Host, device: str, packet: Packet, frame: Frame | None = None) -> None:
        """The same where it comes in. frame: None where nobody knows from which hardware address."""
        for one in judge_filters(host, device, INGRESS, packet, frame or build_frame(packet, "", "")):
            self._controlled(host, one, packet)

    def _controlled(self, host: Host, one: Judged, packet: Packet) -> None:
        level = "stop" if one.stops else "warn" if one.doubtful else "ok"
        self.trail.step(host.label, f"[tc] {one.text}", one.command, one.counters, level)
        if one.stops and one.is_check:
            self.trail.found(
                "spoofing", host.label, f"{one.text}: the pod sends from an address that it was not given",
                one.command,
                "give the pod its hardware and IP address back, or delete it; for a router in a pod: `spoofCheck` off",
            )  # fmt: skip
        elif one.wrong or one.stops:
            self.trail.found("traffic-control", host.label, one.wrong or one.text, one.command, one.mend)
        if one.stops:
            raise Ended(DROPPED, f"traffic control of {host.label} drops it: {one.text}")
        if one.device:
            through = self._link(host, one.device)
            if (queue := judge_queue(host, through.name, packet, through.mtu)) is not None:
                self._controlled(host, queue, packet)

    def _fit(self, host: Host, link: Link, silent: bool = False) -> None:
        """Whether packets as large as the sender's interface allows fit. silent: a bridge tells nobody."""
        if not self.size:
            self.size = link.mtu
        if self.size > link.mtu:
            told = "which are dropped" if silent else "and tells the sender (ICMP, which must get through)"
            what = f"{link.name} lets {link.mtu} bytes through, the sender sends up to {self.size}, {told}"
            self.trail.found("mtu", host.label, what, f"ip link show {link.name}")
            self.size = link.mtu

    def _nobody(self, host: Host, device: str, ip: str) -> None:
        command = f"ip neigh show {ip} dev {device}"
        self.trail.found("neighbour", host.label, f"nobody on {device} has {self._world.call(ip)}", command)
        self.trail.step(host.label, f"nobody on {device} has {ip}", command, level="stop")
        raise Ended(UNREACHABLE, f"nobody on {device} of {host.label} has {ip}")

    def _judge_neighbour(self, host: Host, device: str, ip: str, right: list[Link]) -> None:
        """Whether the hardware address that the host has for a neighbour is the neighbour's."""
        known, state = host.neighbours.get((device, ip), ("", ""))
        if not right or not known or known in [link.mac for link in right]:
            return
        what = f"{ip} is taken to be {known} ({state}), but it is {right[0].mac}"
        command, again = f"ip neigh show {ip} dev {device}", f"ip neigh del {ip} dev {device}"
        self.trail.step(host.label, what, command, level="stop")
        if state == "PERMANENT":
            self.trail.found(
                "neighbour", host.label, what, command, f"somebody wrote it by hand: {again}, and the kernel asks anew"
            )
        else:
            mend = f"find who has {known} (bridge fdb show) and take the address from it there; then {again}"
            self.trail.found("duplicate-address", host.label, what, command, mend)
        raise Ended(DROPPED, f"{host.label} sends to {known}, which is not {self._world.call(ip)}")


def _undo(route: Route | None, family: int) -> str:
    """How a refusing route, or policy rule, is taken away; "" where there is nothing to take away."""
    if route is None:
        return ""
    ip = "ip -6" if family == 6 else "ip"
    if route.priority is not None and not route.table:
        return f"if nobody wants it: {ip} rule del priority {route.priority}"
    table = f" table {route.table}" if route.table not in ("", "main") else ""
    return f"if nobody wants it: {ip} route del {route.kind} {route.destination}{table}"
