"""One of the kernel's five hooks on one host: whatever is registered there, in the order of priorities. Pure.

Base chains of nf_tables, the tables of iptables, connection tracking and the translation of what is tracked already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .iptables_walk import walk_chain
from .nft_walk import walk_base
from .packet import NEW
from .snapshot import Host
from .verdicts import ACCEPT, Around, Verdict

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = "prerouting", "input", "forward", "output", "postrouting"

# linux/netfilter_ipv4.h
_CONNTRACK, _NAT_DST, _NAT_SRC = -200, -100, 100
_TABLES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
_FIRST = (PREROUTING, OUTPUT)  # where a packet is looked up, and its destination translated


@dataclass(frozen=True, slots=True)
class Tracking:
    """What connection tracking does at the hooks. Each changes the packet that it is about in place.

    look_up: at the first hook of a host; to, from_: translate destination or source of what is known already.
    """

    look_up: Callable[[], None]
    to: Callable[[], None]
    from_: Callable[[], None]


def run_hook(host: Host, hook: str, around: Around, tracking: Tracking | None) -> Verdict:
    """What the hook decides. tracking: None for a packet that was here before (over `lo`): no rule of nat is asked."""
    entries: list[tuple[int, Callable[[], Verdict]]] = []

    def add(priority: int, work: Callable[[], None]) -> None:
        def run() -> Verdict:
            work()
            return Verdict(ACCEPT)

        entries.append((priority, run))

    if tracking is not None:
        if hook in _FIRST:
            add(_CONNTRACK, tracking.look_up)
            add(_NAT_DST, tracking.to)
        elif hook != FORWARD:
            add(_NAT_SRC, tracking.from_)
    for table, chains in host.tables.items():
        name = hook.upper()
        if name not in chains:
            continue
        is_nat = table == "nat"
        priority = (_NAT_DST if hook in _FIRST else _NAT_SRC) if is_nat else _TABLES.get(table, 0)
        entries.append((priority, _guarded(is_nat, hook, around, tracking, _iptables(host, table, name, around))))
    for chain in host.nft.hooked(hook):
        walk = _nft(host, chain.name, chain.table, around)
        entries.append((chain.priority, _guarded(chain.type == "nat", hook, around, tracking, walk)))
    for _, run in sorted(entries, key=lambda entry: entry[0]):
        verdict = run()
        if verdict.kind != ACCEPT:
            return verdict
    return Verdict(ACCEPT)


def _guarded(
    is_nat: bool, hook: str, around: Around, tracking: Tracking | None, walk: Callable[[], Verdict]
) -> Callable[[], Verdict]:
    """Rules of nat see the first packet of a connection, and only until one of them has translated it."""
    packet = around.packet

    def run() -> Verdict:
        done = packet.dnat if hook in _FIRST else packet.snat
        if is_nat and (tracking is None or packet.state != NEW or done):
            return Verdict(ACCEPT)
        return walk()

    return run


def _iptables(host: Host, table: str, chain: str, around: Around) -> Callable[[], Verdict]:
    return lambda: walk_chain(table, host.tables[table], chain, around)


def _nft(host: Host, name: str, table: tuple[str, str], around: Around) -> Callable[[], Verdict]:
    return lambda: walk_base(host.nft, host.nft.chains[table, name], around)
