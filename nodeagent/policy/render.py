"""A plan as a table of nf_tables, and the transaction that makes it: the whole, or what changed. Pure.

    forward  ─ established? accept ─ from an isolated pod? its egress chain ─ to one? its ingress chain
    input    ─ the same for what a pod sends to its own node

A chain returns where a rule allows, and drops at its end; so both directions have their say. What a node itself sends
to its pods (probes) is not looked at, as upstream asks. It is after DNAT and before masquerading, so that addresses are
those of pods. `nft list table inet kubelab-policies` shows it, with counters and, as comments, the rules' origins.

A set is called after the rule that it belongs to, a chain after its text: a peer that comes or goes is one element.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Set:
    """kind: the type of its elements. interval: whether they may be networks; those do not overlap."""

    kind: str
    interval: bool
    elements: frozenset[str]


@dataclass(frozen=True, slots=True)
class Table:
    """sets, chains (their lines) and maps (kind, and key → verdict), by name."""

    sets: dict[str, Set] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    maps: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)


def build_table(plan: Plan) -> Table:
    """Every value in it was read as an address, a number or a known word, or is a bounded comment."""
    table = Table()
    names: dict[str, str] = {}
    for chain in plan.chains.values():
        lines = (*_chain_lines(chain, table.sets), "counter drop")
        names[chain.name] = f"{chain.direction}-{_digest(lines)}"
        table.chains[names[chain.name]] = lines
    for direction, verdicts in ((INGRESS, plan.ingress), (EGRESS, plan.egress)):
        for family, (_, kind) in _FAMILIES.items():
            of_family = _of_family(verdicts, family)
            table.maps[f"{direction}{family}"] = kind, {ip: f"jump {names[one]}" for ip, one in of_family.items()}
    for family, (_, kind) in _FAMILIES.items():
        # A pod that reaches itself by a Service: nothing may stop that.
        own = {*_of_family(plan.ingress, family), *_of_family(plan.egress, family)}
        table.sets[f"self{family}"] = Set(f"{kind} . {kind}", False, frozenset(f"{ip} . {ip}" for ip in own))
    return table


def render(table: Table) -> str:
    """The transaction that replaces whatever table there is."""
    lines = [DELETE + f"table inet {TABLE} {{"]
    lines += [f"\t{_set(name, one)}" for name, one in sorted(table.sets.items())]
    lines += [_chain(name, rules) for name, rules in sorted(table.chains.items())]
    for name, (kind, pairs) in table.maps.items():
        elements = _elements(f"{key} : {verdict}" for key, verdict in pairs.items())
        lines.append(f"\tmap {name} {{ type {kind} : verdict; {elements}}}")
    return "\n".join([*lines, *_hooks(), "}", ""])


def render_change(old: Table, new: Table) -> str:
    """The transaction that makes `new` of `old`, which the kernel has; "" where they are the same.

    It grows with what changed: elements of sets and maps, and chains whose text is new."""
    added = [
        f"add set inet {TABLE} {_set(name, one).strip()[4:]}" for name, one in new.sets.items() if name not in old.sets
    ]
    added += [
        f"add chain inet {TABLE} {name} {{ {'; '.join(rules)}; }}"
        for name, rules in new.chains.items()
        if name not in old.chains
    ]
    changed: list[str] = []
    for name, one in new.sets.items():
        if name in old.sets:
            before = old.sets[name].elements
            changed += _element("delete", name, sorted(before - one.elements))
            changed += _element("add", name, sorted(one.elements - before))
    for name, (_, pairs) in new.maps.items():
        was, now = set(old.maps[name][1].items()), set(pairs.items())
        changed += _element("delete", name, sorted(key for key, _ in was - now))
        changed += _element("add", name, sorted(f"{key} : {verdict}" for key, verdict in now - was))
    removed = [
        f"{verb} chain inet {TABLE} {name}"
        for name in old.chains
        if name not in new.chains
        for verb in ("flush", "delete")
    ]
    removed += [f"delete set inet {TABLE} {name}" for name in old.sets if name not in new.sets]
    lines = [*added, *changed, *removed]
    return "\n".join([*lines, ""]) if lines else ""


def _hooks() -> Iterator[str]:
    for hook in ("forward", "input"):
        yield f"\tchain {hook} {{"
        yield f"\t\ttype filter hook {hook} priority {_PRIORITY}; policy accept;"
        yield "\t\tct state established,related accept"
        # Without its neighbours a pod has no IPv6 at all; pods of one bridge ask each other by way of `forward`.
        asked = "nd-neighbor-solicit, nd-neighbor-advert" + (", nd-router-solicit" if hook == "input" else "")
        yield f"\t\ticmpv6 type {{ {asked} }} accept"
        for family, (word, _) in _FAMILIES.items():
            if hook == "forward":
                yield f"\t\t{word} saddr . {word} daddr @self{family} accept"
            yield f"\t\t{word} saddr vmap @egress{family}"
            if hook == "forward":
                yield f"\t\t{word} daddr vmap @ingress{family}"
        yield "\t}"


def _chain_lines(chain: Chain, sets: dict[str, Set]) -> Iterator[str]:
    for rule in chain.rules:
        comment = f'comment "{_UNSAFE.sub("?", rule.origin)[:_COMMENT_MAX]}"'
        for match in _matches(rule, chain, sets):
            yield f"{match} counter return {comment}".strip()


def _matches(rule: Rule, chain: Chain, sets: dict[str, Set]) -> Iterator[str]:
    where = _ADDRESS[chain.direction]
    if rule.peer_ports is not None:
        for family, (word, kind) in _FAMILIES.items():
            of_family = [one for one in rule.peer_ports if ipaddress.ip_address(one[0]).version == family]
            if of_family:
                elements = frozenset(f"{ip} . {protocol.lower()} . {number}" for ip, protocol, number in of_family)
                name = _own_set(sets, rule, Set(f"{kind} . inet_proto . inet_service", False, elements))
                yield f"{word} {where} . meta l4proto . th dport @{name}"
        return
    ports = list(_ports(rule.ports))
    if rule.peers is None:
        yield from ports
        return
    for family, (word, kind) in _FAMILIES.items():
        peers = [one for one in rule.peers if ipaddress.ip_network(one).version == family]
        if peers:
            name = _own_set(sets, rule, Set(kind, any("/" in one for one in peers), _disjoint(peers)))
            yield from (f"{word} {where} @{name} {port}".rstrip() for port in ports)


def _own_set(sets: dict[str, Set], rule: Rule, one: Set) -> str:
    """The name of the rule's set: the same whatever is in it."""
    name = f"peers-{_digest((rule.origin, one.kind, one.interval))}"
    sets[name] = one
    return name


def _disjoint(peers: list[str]) -> frozenset[str]:
    """The same addresses in networks that do not overlap, as an interval set wants; a lone address without a mask."""
    if not any("/" in one for one in peers):
        return frozenset(peers)
    collapsed = ipaddress.collapse_addresses(ipaddress.ip_network(one) for one in peers)  # type: ignore[type-var]
    return frozenset(str(one.network_address if one.num_addresses == 1 else one) for one in collapsed)


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


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def _set(name: str, one: Set) -> str:
    return f"set {name} {{ type {one.kind}; {'flags interval; ' if one.interval else ''}{_elements(one.elements)}}}"


def _chain(name: str, rules: Iterable[str]) -> str:
    return "\n".join([f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"])


def _elements(elements: Iterable[str]) -> str:
    said = ", ".join(sorted(elements))
    return f"elements = {{ {said} }}; " if said else ""


def _element(verb: str, name: str, elements: list[str]) -> list[str]:
    return [f"{verb} element inet {TABLE} {name} {{ {', '.join(elements)} }}"] if elements else []


def _of_family(chains: Mapping[str, str], family: int) -> dict[str, str]:
    return {ip: chain for ip, chain in chains.items() if ipaddress.ip_address(ip).version == family}
