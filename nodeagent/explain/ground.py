"""What happens to a packet on any host: its routes, its hooks, its interfaces; and where it ends. Pure."""

from __future__ import annotations

from .choices import Chooser
from .hooks import PREROUTING, run_hook
from .packet import DROPPED, REFUSED, UNREACHABLE, Packet, Trail
from .routing import Route, address_type, look_up, source_address
from .snapshot import Host, Link
from .tracking import Tracker
from .verdicts import DROP, REJECT, Around, Hit, Verdict
from .world import Site, World

_RESETS = ("tcp-reset", "icmp-port-unreachable", "icmp6-port-unreachable")


class Ended(Exception):
    """The packet goes no further."""

    def __init__(self, verdict: str, why: str) -> None:
        super().__init__(why)
        self.verdict, self.why = verdict, why


class Ground:
    """One way of a packet, as far as one host is concerned. trail: what was seen."""

    def __init__(self, world: World, chooser: Chooser) -> None:
        self._world, self._chooser = world, chooser
        self.trail = Trail()
        self._tracker = Tracker(world, self.trail)
        self._size = 0  # bytes: the largest packet that fits through so far

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
            self.trail.found("route", host.label, what, command)
            self.trail.step(host.label, what, command, level="stop")
            raise Ended(DROPPED if route is not None and route.kind == "blackhole" else UNREACHABLE, what)
        if route.nexthops:
            total = sum(weight for *_, weight in route.nexthops)
            chosen = self._chooser.pick([weight / total for *_, weight in route.nexthops])
            device, gateway, _ = route.nexthops[chosen]
            route = Route(route.kind, route.destination, device, gateway, route.source, route.table)
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
        what = f"{'NetworkPolicy' if is_policy else 'rule'} {hit.place} [{hook}] {hit.comment or hit.text}"
        self.trail.found("policy" if is_policy else "drop", host.label, what, hit.command)
        if verdict.kind == DROP:
            raise Ended(DROPPED, f"dropped on {host.label} by {hit.place}")
        raise Ended(
            REFUSED if verdict.how in _RESETS else UNREACHABLE,
            f"refused on {host.label} by {hit.place} ({verdict.how})",
        )

    def _link(self, host: Host, name: str) -> Link:
        """The interface; raises Ended where it is missing or down."""
        link = host.links.get(name)
        if link is None or not link.up or not link.carrier:
            state = "missing" if link is None else "down" if not link.up else "without a carrier"
            self.trail.found("link", host.label, f"{name} is {state}", f"ip link show {name}")
            self.trail.step(host.label, f"{name} is {state}", f"ip link show {name}", level="stop")
            raise Ended(UNREACHABLE, f"{name} of {host.label} is {state}")
        return link

    def _fit(self, host: Host, link: Link, silent: bool = False) -> None:
        """Whether packets as large as the sender's interface allows fit. silent: a bridge tells nobody."""
        if not self._size:
            self._size = link.mtu
        if self._size > link.mtu:
            told = "which are dropped" if silent else "and tells the sender (ICMP, which must get through)"
            what = f"{link.name} lets {link.mtu} bytes through, the sender sends up to {self._size}, {told}"
            self.trail.found("mtu", host.label, what, f"ip link show {link.name}")
            self._size = link.mtu

    def _nobody(self, host: Host, device: str, ip: str) -> None:
        command = f"ip neigh show {ip} dev {device}"
        self.trail.found("neighbour", host.label, f"nobody on {device} has {self._world.call(ip)}", command)
        self.trail.step(host.label, f"nobody on {device} has {ip}", command, level="stop")
        raise Ended(UNREACHABLE, f"nobody on {device} of {host.label} has {ip}")

    def _judge_neighbour(self, host: Host, device: str, ip: str, right: list[Link]) -> None:
        """Whether the hardware address that the host has for a neighbour is the neighbour's."""
        known, state = host.neighbours.get((device, ip), ("", ""))
        if right and known and known not in [link.mac for link in right]:
            self.trail.found(
                "duplicate-address", host.label,
                f"{ip} is taken to be {known} ({state}), but it is {right[0].mac}", f"ip neigh show {ip} dev {device}",
            )  # fmt: skip
            raise Ended(DROPPED, f"{host.label} sends to {known}, which is not {self._world.call(ip)}")
