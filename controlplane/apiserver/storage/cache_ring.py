"""The recent past of one resource type, from which watches are continued."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Generic, TypeVar

from .cache_entries import CacheEvent
from .interface import Compacted, Revision

T = TypeVar("T")


class Ring(Generic[T]):
    """Events in revision order, the oldest forgotten first. Bounded in events and in bytes kept alive (bytes that the
    cache holds anyway are counted too, so the bound is on the safe side)."""

    def __init__(self, start: Revision, max_events: int, max_bytes: int) -> None:
        self.floor = start
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._first = 0
        self._events: list[CacheEvent[T]] = []
        self._revisions: list[Revision] = []

    def append(self, event: CacheEvent[T]) -> None:
        """Adds the newest event; amortized constant time."""
        self._events.append(event)
        self._revisions.append(event.revision)
        self._bytes += event.size
        while len(self) > 1 and (len(self) > self._max_events or self._bytes > self._max_bytes):
            oldest = self._events[self._first]
            self._bytes -= oldest.size
            self.floor = oldest.revision
            self._first += 1
        if self._first > 64 and self._first > len(self._events) // 2:
            del self._events[: self._first], self._revisions[: self._first]
            self._first = 0

    def since(self, revision: Revision) -> Sequence[CacheEvent[T]]:
        """The events after `revision`. Raises Compacted when some of them are forgotten."""
        if revision < self.floor:
            raise Compacted(revision, self.floor)
        return self._events[bisect_right(self._revisions, revision, self._first) :]

    @property
    def newest(self) -> Revision:
        """The revision of the newest event, or where the ring began."""
        return self._revisions[-1] if len(self) else self.floor

    def __len__(self) -> int:
        return len(self._events) - self._first
