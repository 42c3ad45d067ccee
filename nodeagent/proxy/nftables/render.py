"""Input for `nft -f`. Pure. Every text of it is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nodeagent.proxy.pieces import in_pieces

from . import names
from .plan import PortPlan
from .state import Change, State
from .table import BASE_CHAINS, CHAIN_COMMENTS, address_type, containers

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
    return _change_text(change, _Table(family))


def render_whole(state: State, present: Present | None, family: int, plans: Iterable[PortPlan]) -> Iterator[str]:
    """Everything of ours anew over what is there, in pieces: nft reads the first while the last are planned.

    Clients that affinity keeps are kept. present: None replaces the table itself, with whatever is in it.
    plans: those of `state`, which may get them as they are asked for; what is no Service's first, because it is what
    theirs lead to.
    """
    table, found = _Table(family), present or Present()
    yield _text(_table_lines(table, found, family, anew=present is None))
    yield from in_pieces(_change_text(change, table) for change in plan_whole(state, found, plans))


def plan_whole(state: State, present: Present, plans: Iterable[PortPlan]) -> Iterator[Change]:
    """All chains and elements; of the sets of affinity those that are not there as they should be. To be made in this
    order, in one transaction: first what is there lets go of everything, then one for each of `plans`."""
    written = {name for name in present.chains if name.startswith(names.WRITTEN)}
    yield Change(drop=[name for name in present.chains if name not in written])
    for plan in plans:
        sets = {name: seconds for name, seconds in plan.sets.items() if present.sets.get(name) != seconds}
        again = [name for name in sets if name in present.sets]
        yield Change(delete_sets=again, add_sets=sets, chains=plan.chains, made=set(plan.chains))
    wanted, last = state.sets(), state.written
    yield Change(
        delete_sets=[name for name in present.sets if names.is_affinity_set(name) and name not in wanted],
        chains={last: ()},
        made={last},
        remove=[name for name in written if name != last],
        add_elements=state.elements(),
    )


def leftover(state: State, present: Present) -> list[str]:
    """The chains that are empty once everything was written anew."""
    chains = state.chains()
    return [name for name in present.chains if name not in chains and not name.startswith(names.WRITTEN)]


def render_removal(family: int) -> str:
    """Removes the table, whether or not it is there."""
    name = _Table(family).name
    return _text([f"add table {name}", f"delete table {name}"])


class _Table:
    """How a family's table is called."""

    def __init__(self, family: int) -> None:
        self.name = f"{'ip' if family == 4 else 'ip6'} {names.TABLE}"
        self.address = address_type(family)


def _table_lines(table: _Table, present: Present, family: int, *, anew: bool) -> Iterator[str]:
    if anew:
        yield f"add table {table.name}"
        yield f"delete table {table.name}"
    yield f'add table {table.name} {{ comment "rules for kube-proxy" ; }}'
    for name, base in BASE_CHAINS.items():
        yield f"add chain {table.name} {name} {{ type {base.type} hook {base.hook} priority {base.priority} ; }}"
    for name, (word, kind, comment) in containers(family).items():
        yield f'add {word} {table.name} {name} {{ type {kind} ; comment "{comment}" ; }}'
        if name in present.sets:
            yield f"flush {word} {table.name} {name}"


def _change_text(change: Change, table: _Table) -> str:
    to = table.name
    lines = [f"add chain {to} {_with_comment(name)}\n" for name in change.made if name not in BASE_CHAINS]
    lines += [f"flush chain {to} {name}\n" for name in change.chains if name not in change.made]
    lines += [f"flush chain {to} {name}\n" for name in change.drop]
    lines += [f"delete chain {to} {name}\n" for name in change.remove]
    lines += [f"delete set {to} {name}\n" for name in change.delete_sets]
    for name, seconds in change.add_sets.items():
        kind = f"type {table.address} ; flags dynamic,timeout ; timeout {seconds}s ;"
        lines.append(f"add set {to} {name} {{ {kind} }}\n")
    for chain, rules in change.chains.items():
        lines += [f"add rule {to} {chain} {rule}\n" for rule in rules]
    if change.delete_elements:
        gone = _by_container(change.delete_elements)
        lines += [f"delete element {to} {name} {{ {some} }}\n" for name, some in gone]
    if change.add_elements:
        texts = ((name, _element(key, *value)) for (name, key), value in change.add_elements.items())
        lines += [f"add element {to} {name} {{ {some} }}\n" for name, some in _by_container(texts)]
    return "".join(lines)


def _with_comment(chain: str) -> str:
    comment = CHAIN_COMMENTS.get(chain)
    return f'{chain} {{ comment "{comment}" ; }}' if comment else chain


def _element(key: str, verdict: str, comment: str) -> str:
    return key + (f' comment "{comment}"' if comment else "") + (f" : {verdict}" if verdict else "")


def _by_container(elements: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """elements: container and text of each. Returns containers, each with as many as go into one command."""
    found: dict[str, list[str]] = {}
    for name, text in elements:
        found.setdefault(name, []).append(text)
    for name, texts in found.items():
        for start in range(0, len(texts), _AT_ONCE):
            yield name, ", ".join(texts[start : start + _AT_ONCE])


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
