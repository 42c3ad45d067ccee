"""A watch that begins before what the cache remembers: read from the store's history until it has caught up, then live.

Bounded: history is read in portions, as fast as the client takes them. What the store has forgotten too is Compacted.
"""

from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from .cache_entries import CacheEvent, Entry, WatchEvent
from .cache_watch import CacheWatch
from .interface import Change, ChangeType, Compacted, Revision, Watch

T = TypeVar("T")

# Events handed on at once.
_PORTION = 256


class EventStream(Protocol[T]):
    """What a watch gives its one reader."""

    async def batch(self) -> list[WatchEvent[T]]:
        """Events in order, waiting for the first; empty at the end. Raises Compacted, Unavailable."""
        ...

    @property
    def live(self) -> CacheWatch[T] | None:
        """The watch on the cache, once there is nothing before it: what can be pushed."""
        ...

    def offer_bookmark(self, revision: Revision) -> None:
        """As CacheWatch.offer_bookmark."""
        ...

    def when_too_slow(self, act: Callable[[], None]) -> None:
        """As CacheWatch.when_too_slow."""
        ...

    def close(self) -> None:
        """The reader has gone. Idempotent."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


class HistoryWatch(Generic[T]):
    """`past` is a watch on the store from the asked revision. `entry` makes the cache's entries, `join` gives the
    live watch from a revision on, or raises Compacted when the cache has forgotten that in the meantime. `reached` is
    where the cache is now."""

    def __init__(
        self,
        past: Watch,
        selects: Callable[[Entry[T]], bool] | None,
        entry: Callable[[str, bytes, Revision], Entry[T] | None],
        parse: Callable[[bytes], T],
        join: Callable[[Revision], CacheWatch[T]],
        reached: Callable[[], Revision],
    ) -> None:
        self._past, self._selects, self._entry, self._parse = past, selects, entry, parse
        self._join, self._reached = join, reached
        self.live: CacheWatch[T] | None = None
        self._closed = False
        self._too_slow: Callable[[], None] | None = None
        self._aim()

    def _aim(self) -> None:
        """Everything up to here is read from the store; the cache has what follows."""
        self._target = self._reached()
        self._past.request_progress(self._target)

    async def batch(self) -> list[WatchEvent[T]]:
        """As EventStream.batch."""
        found: list[WatchEvent[T]] = []
        while self.live is None and not self._closed and len(found) < _PORTION:
            change = await anext(self._past)
            if change.revision > self._target or change.type is ChangeType.PROGRESS:
                try:
                    self.live = self._join(self._target)
                except Compacted:
                    self._aim()
                else:
                    if self._too_slow is not None:
                        self.live.when_too_slow(self._too_slow)
                    await self._past.aclose()
                    break
            if change.type is not ChangeType.PROGRESS:
                seen = self._event(change).seen_by(self._selects)
                if seen is not None:
                    found.append(seen)
        if found or self.live is None:
            return found
        return await self.live.batch()

    def _event(self, change: Change) -> CacheEvent[T]:
        if change.type is ChangeType.UPDATE and change.prev_value is None:
            # What it replaced has been compacted away under us: whether it is an addition cannot be told any more.
            raise Compacted(change.revision - 1, change.revision)
        previous = current = None
        if change.prev_value is not None:
            previous = self._entry(change.key, change.prev_value, change.revision - 1)
        if change.type is not ChangeType.DELETE:
            current = self._entry(change.key, change.value, change.revision)
        return CacheEvent(change.key, change.revision, current, previous, self._parse)

    def when_too_slow(self, act: Callable[[], None]) -> None:
        """As CacheWatch.when_too_slow; history waits for its reader."""
        self._too_slow = act
        if self.live is not None:
            self.live.when_too_slow(act)

    def offer_bookmark(self, revision: Revision) -> None:
        """As CacheWatch.offer_bookmark, once it is live."""
        if self.live is not None:
            self.live.offer_bookmark(revision)

    def close(self) -> None:
        """The reader has gone. Idempotent."""
        self._closed = True
        if self.live is not None:
            self.live.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self._past.aclose()
