"""What rules of either kind ask about a packet's surroundings, and what they decide."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .choices import Chooser
from .packet import Packet

ACCEPT, DROP, REJECT, RETURN = "accept", "drop", "reject", "return"


@dataclass(frozen=True, slots=True)
class Verdict:
    """how: of a refusal, what the client is told: `tcp-reset`, `icmp-port-unreachable`. by: the rule, to be shown."""

    kind: str
    how: str = ""
    by: Hit | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched. place: `nat KUBE-SERVICES 3`; command: shows a person the same."""

    place: str
    text: str
    command: str
    counters: str
    comment: str = ""


@dataclass(slots=True)
class Around:
    """One look of a packet at one hook. type_of: `local`, `broadcast`, `multicast`, `unicast` … of an address.

    own_address: of an interface, for what is masqueraded. hits, doubts: written by the rules that are walked; a doubt
    is a rule that nobody but the kernel can judge.
    """

    packet: Packet
    chooser: Chooser
    type_of: Callable[[str], str]
    own_address: Callable[[str], str]
    recent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    physical_in: str = ""
    physical_out: str = ""
    hits: list[Hit] = field(default_factory=list)
    doubts: list[Hit] = field(default_factory=list)


def in_network(ip: str, network: str) -> bool:
    """Whether the address is in the network; one of the other family is not."""
    try:
        parsed = ipaddress.ip_network(network, strict=False)
        return ipaddress.ip_address(ip) in parsed
    except ValueError:
        return False


def split_endpoint(text: str) -> tuple[str, int]:
    """`10.0.0.1:80`, `[fd00::1]:80`, `10.0.0.1`, `:80` → address and port, empty and 0 for what is not said."""
    if text.startswith("["):
        ip, _, port = text[1:].partition("]")
        return ip, _first_port(port.lstrip(":"))
    if text.count(":") > 1:
        return text, 0
    ip, _, port = text.partition(":")
    return ip.partition("-")[0], _first_port(port)


def _first_port(text: str) -> int:
    digits = text.partition("-")[0].partition("/")[0]
    return int(digits) if digits.isdigit() else 0
