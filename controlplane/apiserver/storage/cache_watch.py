"""One client's watch on the cache: a bounded buffer between the cache and a connection.

Its reader takes batches, or has a sink written to as events come (`push`), which spares a wake-up for each of them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Self, TypeAlias, TypeVar

from .cache_entries import CacheEvent, Entry, WatchEvent
from .interface import Revision

T = TypeVar("T")

Pending: TypeAlias = deque[WatchEvent[T]]
Sink: TypeAlias = Callable[[Pending[T]], bool]
"""Sends some of the events, from the left, and removes them; False when it can take no more for now. It must not wait,
and not take long: about a socket's buffer at once."""

Pin: TypeAlias = tuple[str, str]
"""What a selection requires at least: the name of an attribute, and its value (see cache_index)."""


def _nothing() -> None:
    pass


class CacheWatch(Generic[T]):
    """Iterate, take batches, or push. It ends when closed by either side; `overrun` tells that it was too slow, which
    costs the client nothing but a new watch from the last revision it has seen. `due` is called when there is something
    to push; `queued` belongs to who is called."""

    def __init__(
        self,
        prefix: str,
        selects: Callable[[Entry[T]], bool] | None,
        after: Revision,
        bookmarks: bool,
        limit: int,
        on_close: Callable[["CacheWatch[T]"], None],
        due: Callable[["CacheWatch[T]"], None] = lambda _: None,
        pin: Pin | None = None,
    ) -> None:
        self.prefix = prefix
        self.pin = pin
        self.bookmarks = bookmarks
        self.overrun = False
        self.ended = False
        self.queued = False
        self._selects = selects
        self._after = after
        self._limit = limit
        self._on_close = on_close
        self._due = due
        self._told: Revision = after
        self._pending: Pending[T] = deque()
        self._beforehand = 0  # of the pending, owed from before it joined and not counted against the limit
        self._waiter: asyncio.Future[None] | None = None
        self._too_slow: Callable[[], None] = _nothing
        self._sink: Sink[T] | None = None
        self._stalled = False
        self._failure: Exception | None = None

    @property
    def live(self) -> "CacheWatch[T]":
        """Itself: see EventStream."""
        return self

    def when_too_slow(self, act: Callable[[], None]) -> None:
        """Have `act` called when the watch ends because its reader did not keep up."""
        self._too_slow = act

    def begin(self, events: Iterable[WatchEvent[T]]) -> None:
        """What it owes from before it joined; not counted against the buffer."""
        self._pending.extend(events)
        self._beforehand = len(self._pending)

    def replay(self, events: Iterable[CacheEvent[T]]) -> None:
        """The same, for events of the past."""
        mine = (event for event in events if event.key.startswith(self.prefix))
        self.begin(seen for event in mine if (seen := self._see(event)) is not None)

    def offer(self, event: CacheEvent[T]) -> bool:
        """Takes a new event under its prefix if it is selected; False when the buffer is full, and the watch over."""
        seen = self._see(event)
        if seen is None:
            return True
        if len(self._pending) - self._beforehand >= self._limit:
            self.overrun = True
            self.end()
            self._too_slow()
            return False
        self._pending.append(seen)
        self._wake()
        return True

    def offer_bookmark(self, revision: Revision) -> None:
        """Tells the client that it has seen everything up to `revision`, unless it knows or has more to read."""
        if revision > self._told and not self._pending and not self.ended:
            self._told = revision
            self._pending.append(WatchEvent("BOOKMARK", None, revision))
            self._wake()

    @property
    def crowded(self) -> bool:
        """Half full: its reader should be given a turn."""
        return 2 * (len(self._pending) - self._beforehand) >= self._limit

    def _see(self, event: CacheEvent[T]) -> WatchEvent[T] | None:
        if event.revision <= self._after:
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
        self._pending.clear()
        self.end()
        self._on_close(self)

    def _wake(self) -> None:
        if self._sink is not None and self._pending:
            if not self._stalled and not self.queued:
                self._due(self)
        else:
            self._attend()

    def _attend(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _attention(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def push(self, sink: Sink[T], drained: Callable[[], Awaitable[None]]) -> None:
        """Has everything sent by `sink` until the watch is over; `drained` returns when it can take more. Raises what
        either raises. Instead of batches, not beside them."""
        self._sink = sink
        self._wake()
        while self._failure is None and (self._pending or not self.ended):
            if self._stalled:
                await drained()
                self._stalled = False
                self._wake()
            else:
                await self._attention()
        if self._failure is not None:
            raise self._failure

    def deliver(self) -> bool:
        """Has the sink send once; True when there is more to send, and it can be."""
        if self._sink is None or not self._pending:
            return False
        before = len(self._pending)
        try:
            self._stalled = not self._sink(self._pending)
        except Exception as failure:
            self._failure = failure
            self._pending.clear()
        self._beforehand = max(0, self._beforehand - before + len(self._pending))
        if self._stalled or self._failure is not None or (self.ended and not self._pending):
            self._attend()
        return bool(self._pending) and not self._stalled

    async def batch(self) -> list[WatchEvent[T]]:
        """Everything there is, waiting for the first; empty at the end of the watch. For one reader."""
        while not self._pending:
            if self.ended:
                return []
            await self._attention()
        taken = list(self._pending)
        self._pending.clear()
        self._beforehand = 0
        return taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent[T]:
        while not self._pending:
            if self.ended:
                raise StopAsyncIteration
            await self._attention()
        self._beforehand = max(0, self._beforehand - 1)
        return self._pending.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
