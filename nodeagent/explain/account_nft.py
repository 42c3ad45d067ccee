"""kube-proxy's table of nf_tables against what the API asks for: maps, sets, the chains they lead to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nodeagent.proxy.nftables import names
from nodeagent.proxy.nftables.plan import PortPlan, Rules
from nodeagent.proxy.nftables.table import MAPS

from .nft_rules import NftTables, TableKey
from .packet import Trail

_SHOWN = 3  # elements of a map that are named


def judge_table(
    label: str, nft: NftTables, family: int, plans: Iterable[PortPlan], fixed: Mapping[str, Rules], trail: Trail
) -> None:
    """fixed: the chains that are no Service's. Chains that no element leads to any more are not judged: kube-proxy
    removes them a moment later."""
    table = ("ip" if family == 4 else "ip6", names.TABLE)
    if table not in nft.tables:
        what = f"table {table[0]} {names.TABLE} is missing: no Service is translated"
        trail.found("flushed", label, what, f"nft list table {table[0]} {names.TABLE}")
        return
    wanted: dict[str, dict[str, str]] = {name: {} for name in (*MAPS, names.CLUSTER_IPS)}
    for plan in plans:
        for (container, key), (verdict, _) in plan.elements.items():
            wanted.setdefault(container, {})[key] = verdict
        _judge_chains(label, nft, table, plan.chains, trail)
    _judge_chains(label, nft, table, fixed, trail)
    for container, elements in wanted.items():
        live = read_elements(nft, table, container)
        kind = "map" if container in MAPS else "set"
        command = f"nft list {kind} {table[0]} {names.TABLE} {container}"
        missing = [key for key, verdict in elements.items() if live.get(key) != verdict]
        extra = [key for key in live if key not in elements]
        if missing:
            trail.found("flushed", label, f"{names.TABLE} {container} lacks {_some(missing)}", command)
        if extra:
            what = f"{names.TABLE} {container} has {_some(extra)}, which no API object asks for"
            trail.found("foreign", label, what, command)


def _judge_chains(label: str, nft: NftTables, table: TableKey, wanted: Mapping[str, Rules], trail: Trail) -> None:
    """Counts, not texts: nft prints rules in its own words."""
    for name, rules in wanted.items():
        chain = nft.chains.get((table, name))
        there = len(chain.rules) if chain is not None else 0
        if chain is not None and there == len(rules):
            continue
        state = "is missing" if chain is None else f"has {there} rules instead of {len(rules)}"
        command = f"nft list chain {table[0]} {names.TABLE} {name}"
        trail.found("foreign" if there > len(rules) else "flushed", label, f"{names.TABLE} {name} {state}", command)


def read_elements(nft: NftTables, table: TableKey, name: str) -> dict[str, str]:
    """A map's or set's keys, as people write them, with their verdicts."""
    return dict(map(_element, nft.sets.get((table, name), ())))


def _element(body: Any) -> tuple[str, str]:
    """Key and verdict as kube-proxy writes them: of a map a pair, of a set the key alone."""
    if isinstance(body, list):
        return _key(body[0]), _verdict(body[1])
    return _key(body), ""


def _key(body: Any) -> str:
    if isinstance(body, dict):
        ((kind, inner),) = body.items()
        if kind == "elem":
            return _key(inner["val"])
        if kind == "concat":
            return " . ".join(map(_key, inner))
    return str(body)


def _verdict(body: Any) -> str:
    ((kind, inner),) = body.items()
    return f"{kind} {inner['target']}" if inner else str(kind)


def _some(keys: list[str]) -> str:
    return f"`{'; '.join(keys[:_SHOWN])}`" + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
