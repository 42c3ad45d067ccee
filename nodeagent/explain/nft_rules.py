"""What `nft -j list ruleset` printed: tables, base chains, sets and maps (libnftables-json(5)). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
TableKey = tuple[str, str]  # family, name


@dataclass(slots=True)
class NftChain:
    """hook: "" for one that is only jumped to. type: filter, nat or route. rules: as nft prints them, in order."""

    table: TableKey
    name: str
    hook: str = ""
    priority: int = 0
    type: str = ""
    policy: str = "accept"
    rules: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class NftTables:
    """chains, sets (and maps): by table and name. texts: the rules as people write them, by table, chain and handle."""

    chains: dict[tuple[TableKey, str], NftChain] = field(default_factory=dict)
    sets: dict[tuple[TableKey, str], list[Any]] = field(default_factory=dict)
    texts: dict[tuple[TableKey, str, int], str] = field(default_factory=dict)

    @property
    def tables(self) -> set[TableKey]:
        return {table for table, _ in self.chains}

    def hooked(self, hook: str) -> list[NftChain]:
        return [chain for chain in self.chains.values() if chain.hook == hook]


def parse_nft(document: Json, text: str, family: int) -> NftTables:
    """Tables that see packets of the family (4 or 6), but those that iptables keeps there: it prints them itself."""
    families = ("inet", "ip" if family == 4 else "ip6")
    found = NftTables(texts=_texts(text))
    foreign: set[TableKey] = set()
    for entry in document.get("nftables") or ():
        for kind, body in entry.items():
            key = (str(body.get("family", "")), str(body.get("table", "")))
            if key[0] not in families:
                continue
            if kind == "chain":
                found.chains[key, str(body["name"])] = NftChain(
                    key,
                    str(body["name"]),
                    str(body.get("hook", "")),
                    int(body.get("prio", 0)),
                    str(body.get("type", "")),
                    str(body.get("policy", "accept")),
                )
                if str(body.get("hook", "")).upper() == body["name"] and key[1] in _IPTABLES:
                    foreign.add(key)
            elif kind in ("set", "map"):
                found.sets[key, str(body["name"])] = list(body.get("elem") or ())
            elif kind == "rule":
                found.chains[key, str(body["chain"])].rules.append(body)
    found.chains = {place: chain for place, chain in found.chains.items() if chain.table not in foreign}
    return found


# A chain PREROUTING at the hook prerouting of a table of these names: nobody but iptables-nft calls them so.
_IPTABLES = frozenset(("filter", "nat", "mangle", "raw", "security"))
_HANDLE = re.compile(r"(.*) # handle (\d+)$")


def _texts(text: str) -> dict[tuple[TableKey, str, int], str]:
    """The listing that `nft -a list ruleset` prints, taken apart."""
    found: dict[tuple[TableKey, str, int], str] = {}
    table: TableKey = ("", "")
    chain = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("table "):
            table = (words[1], words[2])
        elif line.startswith("\tchain "):
            chain = words[1]
        elif line.startswith("\t\t") and (parts := _HANDLE.match(line.strip())):
            found[table, chain, int(parts[2])] = parts[1]
    return found
