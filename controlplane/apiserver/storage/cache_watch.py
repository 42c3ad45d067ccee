"""One client's watch on the cache: a bounded buffer between the cache and a connection."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Self, TypeVar

from .cache_entries import CacheEvent, Entry, WatchEvent
from .interface import Revision

T = TypeVar("T")


def _nothing() -> None:
    pass


class CacheWatch(Generic[T]):
    """Iterate, or take batches. It ends when closed by either side; `overrun` tells that it was too slow, which costs
    the client nothing but a new watch from the last revision it has seen."""

    def __init__(
        self,
        prefix: str,
        selects: Callable[[Entry[T]], bool] | None,
        after: Revision,
        bookmarks: bool,
        limit: int,
        on_close: Callable[["CacheWatch[T]"], None],
    ) -> None:
        self.prefix = prefix
        self.bookmarks = bookmarks
        self.overrun = False
        self.ended = False
        self._selects = selects
        self._after = after
        self._limit = limit
        self._on_close = on_close
        self._told: Revision = after
        self._buffer: deque[WatchEvent[T]] = deque()
        self._first: deque[WatchEvent[T]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._too_slow: Callable[[], None] = _nothing

    def when_too_slow(self, act: Callable[[], None]) -> None:
        """Have `act` called when the watch ends because its reader did not keep up."""
        self._too_slow = act

    def begin(self, events: Iterable[WatchEvent[T]]) -> None:
        """What it owes from before it joined; not counted against the buffer."""
        self._first.extend(events)

    def replay(self, events: Iterable[CacheEvent[T]]) -> None:
        """The same, for events of the past."""
        for event in events:
            seen = self._see(event)
            if seen is not None:
                self._first.append(seen)

    def offer(self, event: CacheEvent[T]) -> bool:
        """Takes a new event if it concerns this watch; False when the buffer is full, and the watch over."""
        seen = self._see(event)
        if seen is None:
            return True
        if len(self._buffer) >= self._limit:
            self.overrun = True
            self.end()
            self._too_slow()
            return False
        self._buffer.append(seen)
        self._wake()
        return True

    def offer_bookmark(self, revision: Revision) -> None:
        """Tells the client that it has seen everything up to `revision`, unless it knows or has more to read."""
        if revision > self._told and not self._buffer and not self._first and not self.ended:
            self._told = revision
            self._buffer.append(WatchEvent("BOOKMARK", None, revision))
            self._wake()

    @property
    def crowded(self) -> bool:
        """Half full: its reader should be given a turn."""
        return 2 * len(self._buffer) >= self._limit

    def _see(self, event: CacheEvent[T]) -> WatchEvent[T] | None:
        if event.revision <= self._after or not event.key.startswith(self.prefix):
            return None
        seen = event.seen_by(self._selects)
        if seen is not None:
            self._told = event.revision
        return seen

    def end(self) -> None:
        """No more events; what is buffered is still delivered."""
        self.ended = True
        self._wake()

    def close(self) -> None:
        """The reader has gone. Idempotent."""
        self._buffer.clear()
        self._first.clear()
        self.end()
        self._on_close(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def batch(self) -> list[WatchEvent[T]]:
        """Everything there is, waiting for the first; empty at the end of the watch. For one reader."""
        while not self._first and not self._buffer:
            if self.ended:
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken = [*self._first, *self._buffer]
        self._first.clear()
        self._buffer.clear()
        return taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent[T]:
        if not self._first and not self._buffer:
            taken = await self.batch()
            if not taken:
                raise StopAsyncIteration
            self._first.extend(taken)
        return self._first.popleft() if self._first else self._buffer.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
