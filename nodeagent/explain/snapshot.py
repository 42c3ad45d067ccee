"""What a node's kernel held at one moment, as `collect` wrote it down; typed and indexed. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .iptables_rules import Tables, parse_saved
from .nft_rules import NftTables, parse_nft

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. peer, netns_id: a veth's other end: its index, and the number this host has for its namespace.

    tunnel: of a VXLAN interface this host's address and the UDP port of what carries its packets; network: its number
    (VNI). isolated, vlans: of a bridge's port and of a bridge (bridge(8)).
    """

    index: int
    name: str
    up: bool
    carrier: bool
    mtu: int
    mac: str
    kind: str = ""
    master: str = ""
    peer: int = 0
    netns_id: int | None = None
    hairpin: bool = False
    port_state: str = ""
    nf_call: bool = False
    tunnel: tuple[str, int] = ("", 0)
    network: int = 0
    isolated: bool = False
    vlans: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    link: str
    ip: str
    prefix: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked connection: the first packet's ends, and the ends of the answer as it is expected."""

    protocol: str
    src: str
    sport: int
    dst: str
    dport: int
    reply_src: str
    reply_sport: int
    reply_dst: str
    reply_dport: int
    unreplied: bool
    text: str


@dataclass(slots=True)
class Host:
    """One network namespace: a node's, or a pod's. label: `node worker-1` or `pod default/web`.

    queues, filters: of traffic control, filters by interface and direction. members: the VLANs of a bridge's ports and
    of itself: number and flags.
    """

    label: str
    netns: str = ""
    netns_id: int | None = None
    links: dict[str, Link] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Json] = field(default_factory=list)
    rules: list[Json] = field(default_factory=list)
    neighbours: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    listeners: frozenset[tuple[str, str, int]] = frozenset()
    tables: Tables = field(default_factory=dict)
    nft: NftTables = field(default_factory=NftTables)
    flows: list[Flow] = field(default_factory=list)
    recent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fdb: list[Json] = field(default_factory=list)
    queues: list[Json] = field(default_factory=list)
    filters: Mapping[tuple[str, str], list[Json]] = field(default_factory=dict)
    members: Mapping[str, Mapping[int, frozenset[str]]] = field(default_factory=dict)
    problems: Sequence[str] = ()

    def holds(self, ip: str) -> bool:
        return any(address.ip == ip for address in self.addresses)

    def link_with(self, ip: str) -> Link | None:
        return next((self.links[one.link] for one in self.addresses if one.ip == ip and one.link in self.links), None)

    def by_index(self, index: int) -> Link | None:
        return next((link for link in self.links.values() if link.index == index), None)

    def ports_of(self, bridge: str) -> list[Link]:
        return [link for link in self.links.values() if link.master == bridge]

    def sysctl(self, name: str, default: int = 0) -> int:
        try:
            return int(self.sysctls.get(name, default))
        except ValueError:
            return default

    def listens(self, protocol: str, ip: str, port: int) -> bool:
        anywhere = ("0.0.0.0", "::")
        return any((protocol, one, port) in self.listeners for one in (ip, *anywhere))

    def listening(self, protocol: str, port: int) -> list[str]:
        """The addresses on which somebody listens on that port."""
        return sorted(ip for spoken, ip, number in self.listeners if (spoken, number) == (protocol, port))

    def ports(self, protocol: str) -> list[int]:
        """Those on which somebody listens, for anybody."""
        return sorted({port for spoken, ip, port in self.listeners if spoken == protocol and not _is_loopback(ip)})

    def learnt_at(self, bridge: str, mac: str) -> tuple[str, bool]:
        """The port behind which the bridge knows the hardware address, and whether it keeps to that whatever it hears
        (`sticky`); "" where it does not know it."""
        for one in self.fdb:
            if one.get("mac") == mac and one.get("master") == bridge:
                return str(one.get("ifname")), "sticky" in (one.get("flags") or ())
        return "", False

    @property
    def conntrack_full(self) -> bool:
        most = self.sysctl("net.netfilter.nf_conntrack_max")
        return bool(most) and self.sysctl("net.netfilter.nf_conntrack_count") >= most


@dataclass(slots=True)
class NodeSnapshot:
    """A node and those of its pods whose addresses were asked for.

    attached: of every pod's namespace its number here and its addresses; macs: by that number. proxy: kube-proxy's
    configuration as it serves it, None where it does not answer. carrier: the node in the other family, where its
    packets carry those of this one.
    """

    name: str
    host: Host
    pods: list[Host]
    attached: list[tuple[int, str, tuple[str, ...]]]
    proxy: Json | None
    macs: Mapping[int, frozenset[str]] = field(default_factory=dict)
    carrier: Host | None = None

    def pod_behind(self, port: Link) -> Host | None:
        return next((pod for pod in self.pods if pod.netns_id is not None and pod.netns_id == port.netns_id), None)


def read_node(name: str, body: Json, family: int) -> NodeSnapshot:
    """body: what `collect` printed. Raises KeyError, TypeError, ValueError for anything else."""
    pods = [read_host(f"pod {one['netns']}", one, family) for one in body["pods"]]
    attached = [(int(one["id"]), str(one["netns"]), tuple(one["addresses"])) for one in body["attached"]]
    macs = {int(one["id"]): frozenset(map(str, one.get("macs") or ())) for one in body["attached"]}
    host = read_host(f"node {name}", body["host"], family)
    below = body.get("carrier")
    carrier = read_host(host.label, below, 10 - family) if below is not None else None
    return NodeSnapshot(name, host, pods, attached, body.get("proxy"), macs, carrier)


def read_host(label: str, body: Json, family: int) -> Host:
    links = {link.name: link for link in map(_link, body["links"])}
    return Host(
        label=label,
        netns=str(body.get("netns") or ""),
        netns_id=body.get("id"),
        links=links,
        addresses=[
            Address(str(one["ifname"]), str(info["local"]), int(info["prefixlen"]))
            for one in body["addresses"]
            for info in one.get("addr_info") or ()
            if "local" in info and info.get("family") == ("inet" if family == 4 else "inet6")
        ],
        routes=list(body["routes"]),
        rules=sorted(body["rules"], key=lambda rule: int(rule.get("priority", 0))),
        neighbours={
            (str(one.get("dev")), str(one["dst"])): (str(one.get("lladdr", "")), "/".join(one.get("state") or ()))
            for one in body["neighbours"]
        },
        sysctls=body["sysctls"],
        listeners=frozenset((str(one[0]), str(one[1]), int(one[2])) for one in body["listeners"]),
        tables=parse_saved(body["iptables"]),
        nft=parse_nft(body["nft"], body.get("nft_text", ""), family),
        flows=parse_flows(body["conntrack"]),
        recent={name: frozenset(ips) for name, ips in body["recent"].items()},
        fdb=list(body.get("fdb") or ()),
        queues=list(body.get("queues") or ()),
        filters={(str(one[0]), str(one[1])): list(one[2]) for one in body.get("filters") or ()},
        members={str(one["ifname"]): _vlans(one.get("vlans") or ()) for one in body.get("vlans") or ()},
        problems=tuple(body.get("problems") or ()),
    )


def parse_flows(text: str) -> list[Flow]:
    """Lines of /proc/net/nf_conntrack, or of `conntrack -L -o extended`, which are the same."""
    return [flow for line in text.splitlines() if (flow := _flow(line)) is not None]


_PAIR = re.compile(r"(src|dst|sport|dport)=(\S+)")


def _flow(line: str) -> Flow | None:
    words = line.split()
    found: dict[str, list[str]] = {"src": [], "dst": [], "sport": [], "dport": []}
    for key, value in _PAIR.findall(line):
        found[key].append(value)
    if len(words) < 3 or any(len(values) < 2 for values in found.values()):
        return None
    protocol = words[2] if words[0].startswith("ipv") else words[0]
    try:
        ips = [str(ipaddress.ip_address(ip)) for ip in (*found["src"], *found["dst"])]
        ports = [int(port) for port in (*found["sport"], *found["dport"])]
    except ValueError:
        return None
    return Flow(
        protocol, ips[0], ports[0], ips[2], ports[2], ips[1], ports[1], ips[3], ports[3], "[UNREPLIED]" in line, line
    )


def _link(body: Json) -> Link:
    info = body.get("linkinfo") or {}
    slave, data = info.get("info_slave_data") or {}, info.get("info_data") or {}
    flags = body.get("flags") or ()
    return Link(
        index=int(body["ifindex"]),
        name=str(body["ifname"]),
        up="UP" in flags,
        carrier="NO-CARRIER" not in flags,
        mtu=int(body.get("mtu", 0)),
        mac=str(body.get("address", "")),
        kind=str(info.get("info_kind", "")),
        master=str(body.get("master", "")),
        peer=int(body.get("link_index") or 0),
        netns_id=body.get("link_netnsid"),
        hairpin=bool(slave.get("hairpin")),
        port_state=str(slave.get("state", "")),
        nf_call=bool(data.get("nf_call_iptables")),
        tunnel=(str(data.get("local") or data.get("local6") or ""), int(data.get("port") or 0)),
        network=int(data.get("id") or 0) if info.get("info_kind") == "vxlan" else 0,
        isolated=bool(slave.get("isolated")),
        vlans=bool(data.get("vlan_filtering")),
    )


def _vlans(entries: Sequence[Json]) -> dict[int, frozenset[str]]:
    """By number; a range, as `bridge -j vlan show` prints it, taken apart."""
    found: dict[int, frozenset[str]] = {}
    for entry in entries:
        first = int(entry["vlan"])
        for number in range(first, int(entry.get("vlanEnd", first)) + 1):
            found[number] = frozenset(map(str, entry.get("flags") or ()))
    return found


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback
