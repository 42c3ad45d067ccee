"""Input for `nft -f`. Pure. Every text of it is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from . import names
from .plan import Element
from .state import Change, State, Value
from .table import BASE_CHAINS, address_type, containers

_AT_ONCE = 1000  # elements in one command


@dataclass(slots=True)
class Present:
    """What is in the kernel. chains: with their numbers of rules; sets: named ones and maps, with the seconds that an
    element stays, 0 for ever; elements: their numbers, of the maps and sets that are not of affinity."""

    chains: dict[str, int] = field(default_factory=dict)
    sets: dict[str, float] = field(default_factory=dict)
    elements: dict[str, int] = field(default_factory=dict)


def render_change(change: Change, family: int) -> str:
    """Empty when there is nothing to do."""
    return _text(_change_lines(change, _Table(family)))


def render_whole(state: State, present: Present | None, family: int) -> str:
    """Everything of ours anew over what is there. Clients that affinity keeps are kept.

    present: None replaces the table itself, with whatever is in it.
    """
    table = _Table(family)
    lines = [] if present is not None else [f"add table {table.name}", f"delete table {table.name}"]
    lines.append(f'add table {table.name} {{ comment "rules for kube-proxy" ; }}')
    found = present or Present()
    for name, base in BASE_CHAINS.items():
        what = f"type {base.type} hook {base.hook} priority {base.priority} ;"
        lines.append(f"add chain {table.name} {name} {{ {what} }}")
    for name, (word, kind, comment) in containers(family).items():
        lines.append(f'add {word} {table.name} {name} {{ type {kind} ; comment "{comment}" ; }}')
        if name in found.sets:
            lines.append(f"flush {word} {table.name} {name}")
    return _text([*lines, *_change_lines(plan_whole(state, found), table)])


def plan_whole(state: State, present: Present) -> Change:
    """All chains and elements; of the sets of affinity those that are not there as they should be."""
    chains, sets = state.chains(), state.sets()
    return Change(
        delete_sets=[n for n, at in present.sets.items() if names.is_affinity_set(n) and sets.get(n) != at],
        add_sets={name: seconds for name, seconds in sets.items() if present.sets.get(name) != seconds},
        chains=chains,
        made=chains.keys() - present.chains.keys(),
        drop=[name for name in present.chains if name not in chains and not name.startswith(names.WRITTEN)],
        remove=[name for name in present.chains if name not in chains and name.startswith(names.WRITTEN)],
        add_elements=state.elements(),
    )


def render_removal(family: int) -> str:
    """Removes the table, whether or not it is there."""
    name = _Table(family).name
    return _text([f"add table {name}", f"delete table {name}"])


class _Table:
    """How a family's table is called."""

    def __init__(self, family: int) -> None:
        self.name = f"{'ip' if family == 4 else 'ip6'} {names.TABLE}"
        self.address = address_type(family)


def _change_lines(change: Change, table: _Table) -> Iterator[str]:
    for name in change.made - BASE_CHAINS.keys():
        yield f"add chain {table.name} {name}"
    for name in (*(name for name in change.chains if name not in change.made), *change.drop):
        yield f"flush chain {table.name} {name}"
    for name in change.remove:
        yield f"delete chain {table.name} {name}"
    for name in change.delete_sets:
        yield f"delete set {table.name} {name}"
    for name, seconds in change.add_sets.items():
        kind = f"type {table.address} ; flags dynamic,timeout ; timeout {seconds}s ;"
        yield f"add set {table.name} {name} {{ {kind} }}"
    for chain, rules in change.chains.items():
        for rule in rules:
            yield f"add rule {table.name} {chain} {rule}"
    for name, keys in _by_container(change.delete_elements).items():
        for some in _portions(keys):
            yield f"delete element {table.name} {name} {{ {', '.join(some)} }}"
    for name, keys in _by_container(change.add_elements).items():
        for some in _portions([_element(key, change.add_elements[name, key]) for key in keys]):
            yield f"add element {table.name} {name} {{ {', '.join(some)} }}"


def _element(key: str, value: Value) -> str:
    verdict, comment = value
    return key + (f' comment "{comment}"' if comment else "") + (f" : {verdict}" if verdict else "")


def _by_container(elements: Iterable[Element] | Mapping[Element, Value]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, key in elements:
        found.setdefault(name, []).append(key)
    return found


def _portions(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _AT_ONCE):
        yield texts[start : start + _AT_ONCE]


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
