"""Finding objects by what a selection requires: spec.nodeName=node-1 costs the pods of that node, not all pods."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from .cache_entries import Entry
from .cache_watch import Pin

T = TypeVar("T")

# Attributes that are indexed at once; by the others a list looks at everything.
_MOST = 12


def reader(value: Callable[[T, str], str]) -> Callable[[Entry[T], str], str]:
    """Reads an attribute of an entry by its name; "" for what is no text, or cannot be read: people may put anything
    into a store, and one such object must not stop the others."""

    def read(entry: Entry[T], name: str) -> str:
        try:
            found: object = value(entry.attributes, name)
        except Exception:
            return ""
        return found if isinstance(found, str) else ""

    return read


class Indexes(Generic[T]):
    """Keys by the values of attributes, which `value` reads. An index is made when it is first asked for, and kept true
    by `replace`."""

    def __init__(self, value: Callable[[Entry[T], str], str]) -> None:
        self._value = value
        self._indexes: dict[str, dict[str, set[str]]] = {}

    def clear(self) -> None:
        """Everything is different now."""
        self._indexes.clear()

    def replace(self, key: str, current: Entry[T] | None, previous: Entry[T] | None) -> None:
        """An object changed, came (no previous) or went (no current)."""
        for name, index in self._indexes.items():
            after = self._value(current, name) if current is not None else None
            before = self._value(previous, name) if previous is not None else None
            if after == before:
                continue
            if before is not None:
                keys = index[before]
                keys.discard(key)
                if not keys:
                    del index[before]
            if after is not None:
                index.setdefault(after, set()).add(key)

    def keys(self, pin: Pin, entries: Mapping[str, Entry[T]]) -> Iterable[str] | None:
        """The keys of those that have it, in no order; None when there is no index for it."""
        name, value = pin
        index = self._indexes.get(name)
        if index is None:
            if len(self._indexes) >= _MOST:
                return None
            index = self._indexes[name] = {}
            for key, entry in entries.items():
                index.setdefault(self._value(entry, name), set()).add(key)
        return index.get(value, ())
