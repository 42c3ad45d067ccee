"""What the table should hold, by Service, and what turns one state of it into the next. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from . import names
from .plan import Element, PortPlan, Rules

Value = tuple[str, str]
_MODULUS = 1 << 128
FIXED = ""
"""The key of what is no Service's."""


@dataclass(slots=True)
class Change:
    """One transaction. chains: written whole; made: those of them that are new.

    drop: chains to empty; they are deleted later. remove: chains that nothing leads to, to delete at once.
    A set in both delete_sets and add_sets is made anew.
    """

    delete_sets: list[str] = field(default_factory=list)
    add_sets: dict[str, int] = field(default_factory=dict)
    chains: dict[str, Rules] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    drop: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    delete_elements: list[Element] = field(default_factory=list)
    add_elements: dict[Element, Value] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.chains or self.drop or self.delete_elements or self.add_elements or self.delete_sets)


class State:
    """What every Service adds. An address and port that two claim belongs to the one whose name is first.

    Costs of `take` and `replace` are those of the plans given, whatever else there is.
    """

    def __init__(self) -> None:
        self.plans: dict[str, PortPlan] = {}
        self._owners: dict[Element, str] = {}
        self._contenders: dict[Element, set[str]] = {}
        self._digest = 0

    @property
    def written(self) -> str:
        """The name of the chain that tells of this state. Equal states have equal names."""
        return f"{names.WRITTEN}{self._digest:032x}"

    def elements(self) -> dict[Element, Value]:
        return {element: self.plans[owner].elements[element] for element, owner in self._owners.items()}

    def chains(self) -> dict[str, Rules]:
        found: dict[str, Rules] = {self.written: ()}
        for plan in self.plans.values():
            found |= plan.chains
        return found

    def sets(self) -> dict[str, int]:
        return {name: seconds for plan in self.plans.values() for name, seconds in plan.sets.items()}

    def take(self, key: str, plan: PortPlan | None) -> None:
        """Take the new plan of a Service in, None for none. One that is there keeps its place among the others."""
        # Added up, so that a change costs the digests of what changed.
        if old := self.plans.get(key):
            self._digest -= _digest(key, old)
            for element in old.elements:
                self._disclaim(element, key)
        if plan is None:
            self.plans.pop(key, None)
        else:
            self.plans[key] = plan
            self._digest += _digest(key, plan)
            for element in plan.elements:
                self._claim(element, key)
        self._digest %= _MODULUS

    def replace(self, changed: Mapping[str, PortPlan | None]) -> Change:
        """Take new plans in; returns what that changes."""
        change, written = Change(), self.written
        plans = [(self.plans.get(key) or PortPlan(), plan or PortPlan()) for key, plan in changed.items()]
        touched = {element for old, new in plans for element in (*old.elements, *new.elements)}
        before = {element: self._value(element) for element in touched}
        for old, new in plans:
            _compare_chains(old, new, change)
        for key, plan in changed.items():
            self.take(key, plan)
        for element in touched:
            was, becomes = before[element], self._value(element)
            if was is not None and was != becomes:
                change.delete_elements.append(element)
            if becomes is not None and was != becomes:
                change.add_elements[element] = becomes
        if self.written != written:
            change.remove.append(written)
            change.chains[self.written] = ()
            change.made.add(self.written)
        return change

    def _value(self, element: Element) -> Value | None:
        owner = self._owners.get(element)
        return None if owner is None else self.plans[owner].elements[element]

    def _claim(self, element: Element, key: str) -> None:
        owner = self._owners.setdefault(element, key)
        if owner != key:
            self._owners[element] = min(owner, key)
            self._contenders.setdefault(element, set()).add(max(owner, key))

    def _disclaim(self, element: Element, key: str) -> None:
        contenders = self._contenders.get(element, set())
        if self._owners[element] != key:
            contenders.discard(key)
        elif contenders:
            self._owners[element] = min(contenders)
            contenders.discard(self._owners[element])
        else:
            del self._owners[element]
        if not contenders:
            self._contenders.pop(element, None)


def _digest(key: str, plan: PortPlan) -> int:
    """Of no plan 0. Equal Services are planned in the same order."""
    if not (plan.chains or plan.sets or plan.elements):
        return 0
    text = repr((key, plan.chains, plan.sets, plan.elements))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def merge(plans: Iterable[PortPlan]) -> PortPlan | None:
    """The plans of a Service's ports in one, which is the first; None when there is none."""
    merged: PortPlan | None = None
    for plan in plans:
        if merged is None:
            merged = plan
            continue
        merged.chains |= plan.chains
        merged.sets |= plan.sets
        merged.elements = plan.elements | merged.elements
    return merged


def _compare_chains(old: PortPlan, new: PortPlan, change: Change) -> None:
    retimed = {name for name, seconds in new.sets.items() if old.sets.get(name, seconds) != seconds}
    change.delete_sets += [name for name in old.sets if name in retimed or name not in new.sets]
    change.add_sets |= {name: seconds for name, seconds in new.sets.items() if name in retimed or name not in old.sets}
    # What refers to a set must let go of it before the set can be made anew.
    change.chains |= {name: rules for name, rules in new.chains.items() if retimed or old.chains.get(name) != rules}
    change.made |= new.chains.keys() - old.chains.keys()
    change.drop += [name for name in old.chains if name not in new.chains]
