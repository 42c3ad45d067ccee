"""One place where committed changes arrive in revision order, and the watches that are fed from it.

Both stores see every write exactly once (SQLite because it makes them, etcd through one watch over its whole key
space), so a watch is: what history owes between the asked revision and now, then what the hub publishes. A watch that
falls behind is cut off from the hub and goes back to history: memory stays bounded and nothing is lost.

That the hub sees EVERY revision is also what makes progress exact: when it has published revision N, every watch has
been given all its changes up to N, whatever their prefix. (etcd's own progress requests are not usable for that before
3.4.25: they may overtake events still to be sent, etcd issue 15220.)
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from .interface import Change, ChangeType, Revision, StorageError

# Reads history: (prefix, after, up_to) -> (changes with after < revision, the revision read up to). The second is at
# least one greater than `after` and may be less than `up_to`; then it is called again.
History: TypeAlias = Callable[[str, Revision, Revision], Awaitable[tuple[Sequence[Change], Revision]]]

# Changes a watch may lag behind before it is sent back to history. One change holds two values that the store's other
# watches share, so this bounds references, not copies.
BUFFER = 10_000


class Subscription:
    """The live half of one watch: complete for (start, complete_to], open-ended while `complete_to` is None."""

    __slots__ = ("batch", "buffer", "complete_to", "error", "prefix", "start", "waiter")

    def __init__(self, prefix: str, start: Revision) -> None:
        self.prefix = prefix
        self.start = start
        self.buffer: deque[Change] = deque()
        self.complete_to: Revision | None = None
        self.error: StorageError | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.batch = 0

    def wake(self) -> None:
        """Lets `take` look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def take(self) -> list[Change]:
        """Everything buffered, waiting for the first; empty when cut off or woken for another reason. One reader."""
        if not self.buffer and self.complete_to is None and self.error is None:
            self.waiter = asyncio.get_running_loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None
        if not self.buffer and self.error is not None:
            raise self.error
        taken = list(self.buffer)
        self.buffer.clear()
        return taken


class WatchHub:
    """Fans changes out to subscriptions by prefix. Cost of a change: one lookup per "/" in its key."""

    def __init__(self, revision: Revision, buffer: int = BUFFER) -> None:
        self.revision = revision
        self._buffer = buffer
        self._by_prefix: dict[str, list[Subscription]] = {}
        self._progress: list[tuple[Revision, Subscription]] = []
        self._batch = 0
        self._error: StorageError | None = None

    def attach(self, prefix: str) -> Subscription:
        """A subscription that gets everything published after now."""
        if prefix and not prefix.endswith("/"):
            raise ValueError(f'a watched prefix ends with "/": {prefix!r}')
        subscription = Subscription(prefix, self.revision)
        subscription.error = self._error
        self._by_prefix.setdefault(prefix, []).append(subscription)
        return subscription

    def detach(self, subscription: Subscription) -> None:
        """Stops feeding it; idempotent."""
        attached = self._by_prefix.get(subscription.prefix, [])
        if subscription in attached:
            attached.remove(subscription)
            if not attached:
                del self._by_prefix[subscription.prefix]
        self._progress = [item for item in self._progress if item[1] is not subscription]

    def publish(self, changes: Sequence[Change], revision: Revision) -> None:
        """Hands on `changes`, which are all of (self.revision, revision] in order."""
        self._batch += 1
        touched: list[Subscription] = []
        by_prefix = self._by_prefix
        if by_prefix:
            for change in changes:
                key = change.key
                end = 0
                while True:
                    for subscription in by_prefix.get(key[:end], ()):
                        if subscription.batch != self._batch:
                            subscription.batch = self._batch
                            touched.append(subscription)
                            if len(subscription.buffer) >= self._buffer:
                                subscription.complete_to = self.revision
                        if subscription.complete_to is None:
                            subscription.buffer.append(change)
                    end = key.find("/", end) + 1
                    if end == 0:
                        break
        self.revision = revision
        for subscription in touched:
            if subscription.complete_to is not None:
                self.detach(subscription)
            subscription.wake()
        if self._progress:
            due = [item for item in self._progress if item[0] <= revision]
            self._progress = [item for item in self._progress if item[0] > revision]
            for _, subscription in due:
                self._tell_progress(subscription)

    def request_progress(self, subscription: Subscription, revision: Revision) -> None:
        """Puts one PROGRESS behind the subscription's changes, now or once `revision` has been published."""
        if self.revision >= revision:
            self._tell_progress(subscription)
        else:
            self._progress.append((revision, subscription))

    def fail(self, error: StorageError) -> None:
        """Ends every subscription, present and future, with `error` after what it still has buffered."""
        self._error = error
        for attached in self._by_prefix.values():
            for subscription in attached:
                subscription.error = error
                subscription.wake()

    def reset(self, error: StorageError, revision: Revision) -> None:
        """Changes up to `revision` were missed for good: ends the present subscriptions; later ones start there."""
        subscriptions = [subscription for attached in self._by_prefix.values() for subscription in attached]
        self._by_prefix.clear()
        self._progress.clear()
        self.revision = revision
        for subscription in subscriptions:
            subscription.error = error
            subscription.wake()

    def _tell_progress(self, subscription: Subscription) -> None:
        if subscription.complete_to is None:
            buffer = subscription.buffer
            if not buffer or buffer[-1].type is not ChangeType.PROGRESS:
                buffer.append(Change(ChangeType.PROGRESS, "", b"", None, self.revision))
            elif buffer[-1].revision < self.revision:
                buffer[-1] = Change(ChangeType.PROGRESS, "", b"", None, self.revision)
            subscription.wake()


class HubWatch:
    """interface.Watch over a hub and a history."""

    def __init__(self, hub: WatchHub, history: History, prefix: str, from_revision: Revision) -> None:
        self._hub = hub
        self._history = history
        self._prefix = prefix
        self._from = from_revision
        self._reached = from_revision
        self._wanted: list[Revision] = []
        self._ready: deque[Change] = deque()
        self._live = hub.attach(prefix)
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            if self._reached < self._live.start:
                changes, reached = await self._history(self._prefix, self._reached, self._live.start)
                self._ready.extend(changes)
                self._reached = reached
                continue
            self._ready.extend(
                change
                for change in await self._live.take()
                if change.revision > self._from or change.type is ChangeType.PROGRESS
            )
            if not self._ready and self._live.complete_to is not None and not self._closed:
                self._reattach(self._live.complete_to)
        change = self._ready.popleft()
        if self._wanted:
            self._wanted = [revision for revision in self._wanted if revision > change.revision]
        return change

    def _reattach(self, complete_to: Revision) -> None:
        self._reached = max(complete_to, self._from)
        self._live = self._hub.attach(self._prefix)
        for revision in self._wanted:
            self._hub.request_progress(self._live, revision)

    def request_progress(self, revision: Revision) -> None:
        if revision not in self._wanted and not self._closed:
            self._wanted.append(revision)
            self._hub.request_progress(self._live, revision)

    async def aclose(self) -> None:
        self._closed = True
        self._ready.clear()
        self._hub.detach(self._live)
        self._live.wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
