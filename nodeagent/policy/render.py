"""A plan as the text of one nft transaction: our whole table, replaced at once. Pure.

    forward  ─ established? accept ─ from an isolated pod? its egress chain ─ to one? its ingress chain
    input    ─ the same for what a pod sends to its own node

A chain returns where a rule allows, and drops at its end; so both directions have their say. What a node itself sends
to its pods (probes) is not looked at, as upstream asks. It is after DNAT and before masquerading, so that addresses are
those of pods. `nft list table inet kubelab-policies` shows it, with counters and, as comments, the rules' origins.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

from .model import EGRESS, INGRESS
from .plan import Chain, Plan, PortRange, Rule

TABLE = "kubelab-policies"
DELETE = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
"""Removes the table, and is no error where there is none."""

# Before kube-proxy's chains of the filter table, which accept much.
_PRIORITY = "filter - 5"
_FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
_ADDRESS = {INGRESS: "saddr", EGRESS: "daddr"}
_COMMENT_MAX = 120  # bytes; nft takes 128
_UNSAFE = re.compile(r"[^A-Za-z0-9 ./\[\]-]")


def render(plan: Plan) -> str:
    """The transaction. Every value in it was read as an address, a number or a known word, or is a bounded comment."""
    sets: dict[str, str] = {}
    chains = [_chain(chain, sets) for chain in plan.chains.values()]
    lines = [DELETE + f"table inet {TABLE} {{", *sets.values(), *chains]
    for direction, verdicts in ((INGRESS, plan.ingress), (EGRESS, plan.egress)):
        for family, (_, kind) in _FAMILIES.items():
            lines.append(_verdicts(f"{direction}{family}", kind, _of_family(verdicts, family)))
    for family, (_, kind) in _FAMILIES.items():
        # A pod that reaches itself by a Service: nothing may stop that.
        own = sorted({*_of_family(plan.ingress, family), *_of_family(plan.egress, family)})
        lines.append(_set(f"self{family}", f"{kind} . {kind}", [f"{ip} . {ip}" for ip in own]))
    return "\n".join([*lines, *_hooks(), "}", ""])


def _hooks() -> Iterator[str]:
    for hook in ("forward", "input"):
        yield f"\tchain {hook} {{"
        yield f"\t\ttype filter hook {hook} priority {_PRIORITY}; policy accept;"
        yield "\t\tct state established,related accept"
        if hook == "input":
            # Without its neighbours a pod has no IPv6 at all.
            yield "\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept"
        for family, (word, _) in _FAMILIES.items():
            if hook == "forward":
                yield f"\t\t{word} saddr . {word} daddr @self{family} accept"
            yield f"\t\t{word} saddr vmap @egress{family}"
            if hook == "forward":
                yield f"\t\t{word} daddr vmap @ingress{family}"
        yield "\t}"


def _chain(chain: Chain, sets: dict[str, str]) -> str:
    lines = [f"\tchain {chain.name} {{"]
    for rule in chain.rules:
        comment = f' comment "{_UNSAFE.sub("?", rule.origin)[:_COMMENT_MAX]}"'
        lines += [
            f"\t\t{match} counter return{comment}".replace("\t\t ", "\t\t") for match in _matches(rule, chain, sets)
        ]
    return "\n".join([*lines, "\t\tcounter drop", "\t}"])


def _matches(rule: Rule, chain: Chain, sets: dict[str, str]) -> Iterator[str]:
    where = _ADDRESS[chain.direction]
    if rule.peer_ports is not None:
        for family, (word, kind) in _FAMILIES.items():
            of_family = [one for one in rule.peer_ports if ipaddress.ip_address(one[0]).version == family]
            if of_family:
                elements = [f"{ip} . {protocol.lower()} . {number}" for ip, protocol, number in sorted(of_family)]
                name = _shared(sets, f"{kind} . inet_proto . inet_service", elements)
                yield f"{word} {where} . meta l4proto . th dport @{name}"
        return
    ports = list(_ports(rule.ports))
    if rule.peers is None:
        yield from ports
        return
    for family, (word, kind) in _FAMILIES.items():
        peers = sorted(one for one in rule.peers if ipaddress.ip_network(one).version == family)
        if peers:
            name = _shared(sets, kind, peers)
            yield from (f"{word} {where} @{name} {port}".rstrip() for port in ports)


def _ports(ports: Iterable[PortRange] | None) -> Iterator[str]:
    if ports is None:
        yield ""
        return
    by_protocol: dict[str, list[tuple[int, int]]] = {}
    for protocol, first, last in ports:
        by_protocol.setdefault(protocol.lower(), []).append((first, last))
    for protocol, ranges in by_protocol.items():
        merged = merge_ranges(ranges)
        if merged == [(0, 65535)]:
            yield f"meta l4proto {protocol}"
        else:
            said = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in merged)
            yield f"{protocol} dport {{ {said} }}"


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in ascending ranges that neither overlap nor touch: nft refuses others."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _shared(sets: dict[str, str], kind: str, elements: list[str]) -> str:
    """The name of a set with these elements: the same for every rule that needs them."""
    name = f"peers-{hashlib.sha256(repr((kind, elements)).encode()).hexdigest()[:12]}"
    sets.setdefault(name, _set(name, kind, elements))
    return name


def _set(name: str, kind: str, elements: list[str]) -> str:
    intervals = "flags interval; auto-merge; " if any("/" in element for element in elements) else ""
    said = f"elements = {{ {', '.join(elements)} }}; " if elements else ""
    return f"\tset {name} {{ type {kind}; {intervals}{said}}}"


def _verdicts(name: str, kind: str, chains: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{ip} : jump {chain}" for ip, chain in sorted(chains.items()))
    said = f"elements = {{ {pairs} }}; " if pairs else ""
    return f"\tmap {name} {{ type {kind} : verdict; {said}}}"


def _of_family(chains: Mapping[str, str], family: int) -> dict[str, str]:
    return {ip: chain for ip, chain in chains.items() if ipaddress.ip_address(ip).version == family}
