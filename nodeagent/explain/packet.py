"""What is asked, the packet that is walked, and what is written down on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

NEW, ESTABLISHED, INVALID, UNTRACKED = "NEW", "ESTABLISHED", "INVALID", "UNTRACKED"

# How a walk can end.
ANSWERS, REFUSED, DROPPED, UNREACHABLE, UNKNOWN = "answers", "refused", "dropped", "unreachable", "unknown"


@dataclass(slots=True)
class Packet:
    """One packet. Addresses as text, `""` for one the kernel has yet to choose; sport 0: any of the ephemeral ports.

    state: what connection tracking says of it on the host where it is; dnat, snat: what was rewritten there.
    """

    src: str
    dst: str
    protocol: str
    dport: int
    sport: int = 0
    mark: int = 0
    state: str = NEW
    reply: bool = False
    dnat: bool = False
    snat: bool = False
    iif: str = ""
    oif: str = ""

    @property
    def flow(self) -> tuple[str, str, int, str, int]:
        return self.protocol, self.src, self.sport, self.dst, self.dport

    def copy(self) -> Packet:
        return replace(self)

    def __str__(self) -> str:
        return f"{_end(self.src, self.sport)} → {_end(self.dst, self.dport)} {self.protocol.upper()}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to the packet on a host. command: shows a person the same, typed there.

    counters: packets:bytes, where the kernel counts. depth: 1 for what happened to a packet that carries it.
    """

    host: str
    what: str
    command: str = ""
    counters: str = ""
    level: str = "ok"  # ok, warn, stop
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. kind: one word of KINDS; command: shows a person the same.

    mend: what to do about it.
    """

    kind: str
    host: str
    what: str
    command: str = ""
    mend: str = ""


KINDS = {
    "flushed": "rules that the API asks for are missing",
    "foreign": "rules that no API object accounts for",
    "dead-endpoint": "rules lead to an address that no EndpointSlice has",
    "route": "a route is missing or leads elsewhere",
    "mtu": "large packets do not fit through",
    "duplicate-address": "an address is held twice",
    "conntrack": "connection tracking sends packets elsewhere, or not at all",
    "policy": "a NetworkPolicy says no",
    "hairpin": "the bridge does not send a frame back where it came from",
    "forwarding": "the node does not forward",
    "link": "an interface is missing or down",
    "neighbour": "nobody answers for the address",
    "rp-filter": "the answer would leave by another interface",
    "bridge-netfilter": "bridged packets pass the rules by",
    "closed": "nobody listens on the port",
    "proxy": "kube-proxy does not answer",
    "drop": "a rule drops or refuses the packet",
    "traffic-control": "a queue or filter of an interface drops or slows packets",
    "spoofing": "a pod sends from an address that is not its own",
    "tunnel": "the VXLAN interface does not know where the other node is",
    "duplicate-mac": "two interfaces of a bridge have the same hardware address",
    "bridge-port": "the bridge does not pass the frame on",
    "unread": "a part of the node could not be read",
}

# Where the place says nothing more exact.
MENDS = {
    "flushed": "kube-proxy writes them again within seconds; if it does not: systemctl restart kube-proxy",
    "foreign": "find out who wrote them; if nobody wants them, delete them (iptables -D, nft delete rule)",
    "dead-endpoint": "kube-proxy takes them out once no EndpointSlice has the address: is it running?",
    "route": "kube-proxy makes the routes between nodes: systemctl status kube-proxy; journalctl -u kube-proxy",
    "mtu": "give every interface on the way the same MTU, or the pods a smaller one (`mtu` of the CNI configuration)",
    "duplicate-address": "find who else has it by its hardware address, and take it away there",
    "conntrack": "delete the entry: the same command with -D for -L",
    "policy": "policies only allow: write one that lets this through, or delete the one that isolates the pod",
    "link": "set it up: ip link set DEVICE up",
    "neighbour": "is the pod or node that should have the address alive, and its interface up?",
    "rp-filter": "let the answer leave where the packet came in, or be less strict: rp_filter=2",
    "bridge-netfilter": "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1",
    "proxy": "systemctl restart kube-proxy; journalctl -u kube-proxy says why it stopped",
    "drop": "if nobody wants the rule, delete it (iptables -D, nft delete rule); else let this packet pass before it",
    "traffic-control": "tc qdisc del dev DEVICE root, or a rate that is enough",
    "unread": "run it there by hand as root: is the program installed, and does it answer?",
    "tunnel": "kube-proxy writes these entries again within seconds; if it does not: systemctl restart kube-proxy",
}


@dataclass(slots=True)
class Outcome:
    """One way that the packet can take. probability: 0 to 1. backend: who got it, `""` where nobody did.

    seen_as: the address that the one asked sees as the client's.
    """

    verdict: str
    probability: float
    why: str
    backend: str = ""
    seen_as: str = ""
    steps: Sequence[Step] = ()
    findings: Sequence[Finding] = ()


@dataclass(slots=True)
class Trail:
    """What was seen on one way."""

    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    depth: int = 0

    def step(self, host: str, what: str, command: str = "", counters: str = "", level: str = "ok") -> None:
        self.steps.append(Step(host, what, command, counters, level, self.depth))

    def found(self, kind: str, host: str, what: str, command: str = "", mend: str = "") -> None:
        """mend: "" for the kind's own."""
        finding = Finding(kind, host, what, command, mend or MENDS.get(kind, ""))
        if finding not in self.findings:
            self.findings.append(finding)


def _end(ip: str, port: int) -> str:
    shown = ip or "?"
    return join_endpoint(shown, port) if port else shown


def join_endpoint(ip: str, port: int) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
