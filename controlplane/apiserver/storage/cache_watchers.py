"""Who has to be told of a change: the watches of its collection or its namespace that can be concerned at all.

A watch whose selection pins an attribute (spec.nodeName=node-1) is looked up by what the object's attribute is and was,
so that a change of one pod costs the watches of its node, not those of all nodes (upstream's indexed triggers, for any
attribute).
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .cache_entries import CacheEvent, Entry
from .cache_watch import CacheWatch

T = TypeVar("T")


class _Group(Generic[T]):
    """The watches of one prefix. Dicts are sets that keep their order."""

    def __init__(self) -> None:
        self.all: dict[CacheWatch[T], None] = {}
        self.pinned: dict[str, dict[str, dict[CacheWatch[T], None]]] = {}


class Watchers(Generic[T]):
    """`value`: an attribute's value by its name ("" when the object has none); see cache_index.reader."""

    def __init__(self, prefix: str, value: Callable[[Entry[T], str], str]) -> None:
        self._prefix, self._value = prefix, value
        self._groups: dict[str, _Group[T]] = {}

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[CacheWatch[T]]:
        for group in self._groups.values():
            yield from group.all
            for values in group.pinned.values():
                for watches in values.values():
                    yield from watches

    def add(self, watch: CacheWatch[T]) -> None:
        """From now on it is told."""
        group = self._groups.setdefault(watch.prefix, _Group())
        if watch.pin is None:
            group.all[watch] = None
        else:
            name, value = watch.pin
            group.pinned.setdefault(name, {}).setdefault(value, {})[watch] = None

    def remove(self, watch: CacheWatch[T]) -> None:
        """It is told no more; idempotent."""
        group = self._groups.get(watch.prefix)
        if group is None:
            return
        if watch.pin is None:
            group.all.pop(watch, None)
        else:
            name, value = watch.pin
            values = group.pinned.get(name, {})
            here = values.get(value, {})
            here.pop(watch, None)
            if not here:
                values.pop(value, None)
            if not values:
                group.pinned.pop(name, None)
        if not group.all and not group.pinned:
            del self._groups[watch.prefix]

    def concerned(self, event: CacheEvent[T]) -> list[CacheWatch[T]]:
        """Everybody who may have to be told, once each."""
        found: list[CacheWatch[T]] = []
        key, end = event.key, len(self._prefix)
        while end > 0:
            group = self._groups.get(key[:end])
            if group is not None:
                found += group.all
                for name, values in group.pinned.items():
                    for value in self._values(event, name):
                        found += values.get(value, ())
            end = key.find("/", end) + 1
        return found

    def _values(self, event: CacheEvent[T], name: str) -> set[str]:
        versions = (event.current, event.previous)
        return {self._value(entry, name) for entry in versions if entry is not None}
