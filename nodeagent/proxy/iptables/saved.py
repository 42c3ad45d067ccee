"""What iptables-save printed: whether our rules are in it, what would bring them back, what would remove them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .ruleset import JUMPS, TABLES, Change, Ruleset, TableChange, is_ours

SOURCES = frozenset(jump.source for jump in JUMPS)
"""The chains of the kernel's that lead to ours."""


@dataclass(slots=True)
class SavedTable:
    """A table as it is in the kernel. rules: how many each chain has; entries: those of chains that lead to ours."""

    rules: dict[str, int] = field(default_factory=dict)
    entries: list[str] = field(default_factory=list)


def parse(text: str) -> dict[str, SavedTable]:
    """By table. Lines that are neither table, chain nor rule are comments."""
    tables: dict[str, SavedTable] = {}
    table = SavedTable()
    for line in text.splitlines():
        if line.startswith("-A "):
            chain = line.split(" ", 2)[1]
            table.rules[chain] = table.rules.get(chain, 0) + 1
            if chain in SOURCES:
                table.entries.append(line)
        elif line.startswith(":"):
            table.rules.setdefault(line[1:].split(" ", 1)[0], 0)
        elif line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), SavedTable())
    return tables


def is_whole(saved: Mapping[str, SavedTable], wanted: Ruleset) -> bool:
    """Whether every chain of ours is there with as many rules as it should have, none is too many, and all jumps are.

    Counts, not texts: iptables prints rules in its own words, which differ between versions and back ends.
    """
    for name in TABLES:
        table, chains = saved.get(name, SavedTable()), wanted.table(name)
        if any(table.rules.get(chain) != len(rules) for chain, rules in chains.items()):
            return False
        if any(is_ours(chain) and chain not in chains for chain in table.rules):
            return False
    return not any(change.jumps for change in plan_whole(saved, wanted).values())


def plan_whole(saved: Mapping[str, SavedTable], wanted: Ruleset) -> Change:
    """Write everything of ours anew over what is there, whatever that is."""
    change: Change = {}
    for name in TABLES:
        table, chains = saved.get(name, SavedTable()), wanted.table(name)
        change[name] = TableChange(
            write=dict(chains),
            delete=[chain for chain in table.rules if is_ours(chain) and chain not in chains],
            jumps=[
                jump for jump in JUMPS if jump.table == name and not any(jump.is_in(line) for line in table.entries)
            ],
        )
    return change


def render_cleanup(saved: Mapping[str, SavedTable]) -> str:
    """Input for `iptables-restore --noflush` that removes every chain and jump of ours; empty when there is none."""
    lines: list[str] = []
    for name in TABLES:
        table = saved.get(name, SavedTable())
        chains = [chain for chain in table.rules if is_ours(chain)]
        entries = [line for line in table.entries if any(jump.is_in(line) for jump in JUMPS if jump.table == name)]
        if not chains and not entries:
            continue
        lines += [f"*{name}", *(f":{chain} - [0:0]" for chain in chains)]
        lines += ["-D " + line.removeprefix("-A ") for line in entries]
        lines += [*(f"-X {chain}" for chain in chains), "COMMIT"]
    return "\n".join([*lines, ""]) if lines else ""
