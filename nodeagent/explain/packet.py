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
    """One thing that happened to the packet on a host. command: shows a person the same, typed there."""

    host: str
    what: str
    command: str = ""
    counters: str = ""
    level: str = "ok"  # ok, warn, stop


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. kind: one word of KINDS; command: shows a person the same."""

    kind: str
    host: str
    what: str
    command: str = ""


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

    def step(self, host: str, what: str, command: str = "", counters: str = "", level: str = "ok") -> None:
        self.steps.append(Step(host, what, command, counters, level))

    def found(self, kind: str, host: str, what: str, command: str = "") -> None:
        finding = Finding(kind, host, what, command)
        if finding not in self.findings:
            self.findings.append(finding)


def _end(ip: str, port: int) -> str:
    shown = ip or "?"
    return f"[{shown}]:{port}" if ":" in shown and port else f"{shown}:{port}" if port else shown
