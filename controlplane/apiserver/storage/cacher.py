"""The watch cache: one resource type in memory, fed by one watch on the store, serving every read and watch of it.

Reads are as fresh as the caller asks: `fresh=None` is linearizable (the cache waits until it has reached the revision
that the store is at now), 0 takes what is there, N waits for at least N: the API's resourceVersion semantics. Objects
are kept as the bytes that clients get, so a list is a join. Source: upstream's `storage/cacher/cacher.go`, KEP-2340.
"""

import asyncio
import heapq
import itertools
import logging
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.metrics import Counter
from apimachinery.kit.tasks import cancel_and_wait

from .cache_delivery import Delivery
from .cache_entries import CacheEvent, Entry, WatchEvent
from .cache_history import EventStream, HistoryWatch
from .cache_index import Indexes, reader
from .cache_page import CachePage
from .cache_ring import Ring
from .cache_watch import CacheWatch, Pin
from .cache_watchers import Watchers
from .interface import (
    Change,
    ChangeType,
    Compacted,
    FutureRevision,
    Revision,
    Storage,
    StorageError,
    Stored,
    Unavailable,
    Unreadable,
)
from .served import refuse_encrypted, with_resource_version

log = logging.getLogger(__name__)

T = TypeVar("T")
Selects: TypeAlias = Callable[[Entry[T]], bool]

TERMINATED = Counter("apiserver_terminated_watchers", "Watches closed because their client was too slow", ["resource"])
INITIALIZED = Counter(
    "apiserver_watch_cache_initializations", "How often the watch cache was filled from the store", ["resource"]
)
SKIPPED = Counter(
    "apiserver_watch_cache_undecodable_objects",
    "Stored values that are no API objects and are not served",
    ["resource"],
)

LAST_READS = 2.0  # seconds that a cache which is being closed is still filled for those who wait
WAIT_TIMEOUT = 3.0  # seconds that a read waits for the cache to get where it has to (upstream's blockTimeout)
BOOKMARK_PERIOD = 60.0
_RETRY_PERIOD = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one cache: events a watch may lag behind, and the past that watches can be continued from."""

    watch_buffer: int = 1000
    ring_events: int = 10_000
    ring_bytes: int = 16 << 20


class Cacher(Generic[T]):
    """The cache of the objects under one registry prefix. `parse` makes of served bytes what selections and callers
    want to see as `Entry.attributes`; it runs at most once per version, when first needed, and must not fail on JSON
    objects. `value` reads one of them by its name ("" when the object has none), for selections that pin it. Run with
    `start`, end with `close`."""

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        parse: Callable[[bytes], T],
        *,
        value: Callable[[T, str], str] = lambda attributes, name: "",
        resource: str = "",
        clock: Clock | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._parse = parse
        self._resource = resource or prefix
        self._clock = clock or SystemClock()
        self._limits = limits
        self._entries: dict[str, Entry[T]] = {}
        self._keys: list[str] = []
        self._revision: Revision = 0
        self._ring: Ring[T] = Ring(0, limits.ring_events, limits.ring_bytes)
        self._ready = asyncio.Event()
        self._unreadable: Unreadable | Unavailable | None = None
        self._readers, self._unread = 0, asyncio.Event()  # who waits for what is on its way, and that nobody does
        self._crowded = False
        self._request_progress: Callable[[Revision], None] = lambda _: None
        self._watches: Watchers[T] = Watchers(prefix, reader(value))
        self._indexes: Indexes[T] = Indexes(reader(value))
        self._delivery: Delivery[T] = Delivery()
        self._waiting: list[tuple[Revision, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def revision(self) -> Revision:
        """Everything up to here is in the cache; 0 before it has been filled."""
        return self._revision

    @property
    def size(self) -> int:
        """How many objects there are."""
        return len(self._entries)

    @property
    def ready(self) -> bool:
        """Filled once; it then keeps serving what it has, even while the store does not answer."""
        return self._ready.is_set() and self._unreadable is None

    def start(self) -> None:
        """Begins to fill and follow, in tasks of its own."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._bookmark())]

    async def close(self) -> None:
        """Ends all watches and stops following, once those have what they wait for who came before. Idempotent."""
        self._end_watches()
        if self._readers:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_READS):
                    await self._unread.wait()
        await cancel_and_wait(*self._tasks)
        self._end_watches()
        if not self._ready.is_set():
            self._unreadable = Unavailable("the watch cache was closed before it was filled")
            self._ready.set()

    async def wait_ready(self) -> None:
        """Returns once the cache has been filled. Raises Unreadable when it cannot be, Unavailable when it is closed
        before."""
        if not self._ready.is_set():
            self._begin_read()
            try:
                await self._ready.wait()
            finally:
                self._end_read()
        if self._unreadable is not None:
            raise self._unreadable

    def _begin_read(self) -> None:
        self._readers += 1
        self._unread.clear()

    def _end_read(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._unread.set()

    async def get(self, key: str, *, fresh: Revision | None = None) -> Entry[T] | None:
        """The object, as fresh as asked. Raises FutureRevision (the cache did not get there in time), Unavailable."""
        await self._freshen(fresh)
        return self._entries.get(key)

    def peek(self, key: str) -> Entry[T] | None:
        """The object as the cache has it now, which may be behind; None before the cache has been filled."""
        return self._entries.get(key)

    async def get_at(self, key: str, revision: Revision) -> Entry[T] | None:
        """The object as it was at exactly `revision`, from the store. Raises Compacted, FutureRevision, Unavailable."""
        stored = await self._storage.get(key, revision=revision)
        return None if stored is None else self._entry(stored.key, stored.value, stored.mod_revision)

    async def list(
        self,
        prefix: str,
        *,
        selects: Selects[T] | None = None,
        pin: Pin | None = None,
        fresh: Revision | None = None,
        limit: int = 0,
    ) -> CachePage[T]:
        """The objects under `prefix` (the cache's own or below) that are selected, as fresh as asked, the first `limit`
        (0: all). pin: what `selects` requires, at least. Raises as `get`."""
        await self._freshen(fresh)
        return self._page(prefix, selects, limit, "", self._revision, pin)

    async def list_at(
        self,
        prefix: str,
        revision: Revision,
        *,
        selects: Selects[T] | None = None,
        pin: Pin | None = None,
        limit: int = 0,
        start_after: str = "",
    ) -> CachePage[T]:
        """The same as of exactly `revision`, from `start_after` on: what a continue token or resourceVersionMatch=Exact
        asks for. Read from the store when the cache has moved on. Raises Compacted, FutureRevision, Unavailable."""
        if not self._ring.newest <= revision <= self._revision or not self.ready:
            return await self._stored_page(prefix, revision, selects, limit, start_after)
        return self._page(prefix, selects, limit, start_after, revision, pin)

    async def watch(
        self,
        prefix: str,
        from_revision: Revision,
        *,
        selects: Selects[T] | None = None,
        pin: Pin | None = None,
        bookmarks: bool = False,
    ) -> EventStream[T]:
        """Events after `from_revision` (>= 1), from the store where the cache does not remember that far back; what the
        store does not remember either is told by the stream. Raises Unavailable."""
        await self.wait_ready()

        def join(revision: Revision) -> CacheWatch[T]:
            past = self._ring.since(revision)
            watch = self._join(prefix, selects, pin, revision, bookmarks)
            watch.replay(past)
            return watch

        try:
            return join(from_revision)
        except Compacted:
            past = self._storage.watch(prefix, from_revision)
            return HistoryWatch(past, selects, self._entry, self._parse, join, lambda: self._revision)

    async def watch_state(
        self,
        prefix: str,
        *,
        fresh: Revision | None = None,
        selects: Selects[T] | None = None,
        pin: Pin | None = None,
        bookmarks: bool = False,
        initial_end: bool = False,
    ) -> CacheWatch[T]:
        """The present state as ADDED events, then (if `initial_end`) a BOOKMARK that says so, then what changes. Raises
        as `get`."""
        await self._freshen(fresh)
        watch = self._join(prefix, selects, pin, self._revision, bookmarks)
        page = self._page(prefix, selects, 0, "", self._revision, pin)
        watch.begin(WatchEvent("ADDED", entry, entry.revision) for entry in page.entries)
        if initial_end:
            watch.begin([WatchEvent("BOOKMARK", None, self._revision, initial_end=True)])
        return watch

    def _join(
        self, prefix: str, selects: Selects[T] | None, pin: Pin | None, after: Revision, bookmarks: bool
    ) -> CacheWatch[T]:
        limit, due = self._limits.watch_buffer, self._delivery.add
        watch = CacheWatch(prefix, selects, after, bookmarks, limit, self._watches.remove, due, pin)
        self._watches.add(watch)
        return watch

    def _page(
        self,
        prefix: str,
        selects: Selects[T] | None,
        limit: int,
        start_after: str,
        revision: Revision,
        pin: Pin | None = None,
    ) -> CachePage[T]:
        keys, entries = self._keys, self._entries
        if pin is not None and (pinned := self._indexes.keys(pin, entries)) is not None:
            keys = sorted(key for key in pinned if key.startswith(prefix))
        first = bisect_right(keys, start_after) if start_after >= prefix else bisect_left(keys, prefix)
        end = bisect_left(keys, prefix[:-1] + chr(ord(prefix[-1]) + 1), first)
        found: list[Entry[T]] = []
        for position in range(first, end):
            entry = entries[keys[position]]
            if selects is None or selects(entry):
                found.append(entry)
                if len(found) == limit:
                    remaining = end - position - 1
                    return CachePage(found, revision, remaining > 0, remaining)
        return CachePage(found, revision)

    async def _stored_page(
        self, prefix: str, revision: Revision, selects: Selects[T] | None, limit: int, start_after: str
    ) -> CachePage[T]:
        found: list[Entry[T]] = []
        while True:
            want = limit - len(found) if limit else 0
            page = await self._storage.list(prefix, revision=revision, limit=want, start_after=start_after)
            for item in page.items:
                entry = self._entry(item.key, item.value, item.mod_revision)
                if entry is not None and (selects is None or selects(entry)):
                    found.append(entry)
            if not page.more or (limit and len(found) >= limit):
                return CachePage(found, page.revision, page.more, page.remaining)
            start_after = page.items[-1].key

    async def _freshen(self, fresh: Revision | None) -> None:
        if fresh is not None and fresh <= self._revision and self.ready:
            return
        self._begin_read()
        try:
            await self._arrive(fresh)
        finally:
            self._end_read()

    async def _arrive(self, fresh: Revision | None) -> None:
        await self.wait_ready()
        if fresh is not None and fresh <= self._revision:
            return
        current = await self._storage.current_revision()
        wanted = current if fresh is None else fresh
        if wanted <= self._revision:
            return
        if wanted > current:
            raise FutureRevision(wanted, current)
        self._request_progress(wanted)
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (wanted, next(self._order), arrived))
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await arrived
        except TimeoutError:
            raise FutureRevision(wanted, self._revision) from None
        finally:
            if not arrived.done() or arrived.cancelled():
                self._waiting = [waiting for waiting in self._waiting if waiting[2] is not arrived]
                heapq.heapify(self._waiting)

    async def _follow(self) -> None:
        while True:
            try:
                page = await self._storage.list(self._prefix)
                self._fill(page.items, page.revision)
                async with self._storage.watch(self._prefix, page.revision) as watch:
                    self._request_progress = watch.request_progress
                    for wanted, _, _ in self._waiting:
                        watch.request_progress(wanted)
                    async for change in watch:
                        # Never between two changes of one revision: nobody may see or join a half of it.
                        if self._crowded and change.revision > self._revision:
                            self._crowded = False
                            await self._delivery.caught_up()
                        self._apply(change)
            except StorageError as error:
                log.warning("watch cache of %s: %s; filling it again", self._resource, error)
                if isinstance(error, Unreadable) and not self.ready:
                    # Nothing to serve, and no use in waiting: who waits is told.
                    self._unreadable = error
                    self._ready.set()
            await self._clock.sleep(_RETRY_PERIOD)

    async def _bookmark(self) -> None:
        while True:
            await self._clock.sleep(BOOKMARK_PERIOD)
            wanting = [watch for watch in self._watches if watch.bookmarks]
            if wanting:
                try:
                    await self._freshen(None)
                except StorageError as error:
                    log.debug("bookmarks of %s without progress: %s", self._resource, error)
                for watch in wanting:
                    watch.offer_bookmark(self._revision)

    def _fill(self, items: Sequence[Stored], revision: Revision) -> None:
        """Starts anew: watches of the time before cannot be continued without a gap, so they end."""
        self._end_watches()
        made = (self._entry(item.key, item.value, item.mod_revision) for item in items)
        self._entries = {entry.key: entry for entry in made if entry is not None}
        self._keys = sorted(self._entries)
        self._indexes.clear()
        self._ring = Ring(revision, self._limits.ring_events, self._limits.ring_bytes)
        INITIALIZED.labels(self._resource).inc()
        self._unreadable = None
        self._ready.set()
        self._advance(revision)

    def _apply(self, change: Change) -> None:
        if change.type is not ChangeType.PROGRESS:
            previous = self._entries.get(change.key)
            current = None
            if change.type is not ChangeType.DELETE:
                current = self._entry(change.key, change.value, change.revision)
            self._replace(change.key, current, previous)
            event = CacheEvent(change.key, change.revision, current, previous, self._parse)
            self._ring.append(event)
            concerned = self._watches.concerned(event)
            if concerned:
                self._delivery.warm(event)
                for watch in concerned:
                    self._offer(watch, event)
        self._advance(change.revision)

    def _offer(self, watch: CacheWatch[T], event: CacheEvent[T]) -> None:
        try:
            taken = watch.offer(event)
        except Exception:
            # A selection that fails ends its own watch, not everybody's.
            log.exception("a watch of %s failed on %s", self._resource, event.key)
            watch.end()
            self._watches.remove(watch)
            return
        if not taken:
            self._watches.remove(watch)
            TERMINATED.labels(self._resource).inc()
        elif watch.crowded:
            self._crowded = True

    def _replace(self, key: str, current: Entry[T] | None, previous: Entry[T] | None) -> None:
        if current is not None:
            self._entries[key] = current
            if previous is None:
                insort(self._keys, key)
        elif previous is not None:
            del self._entries[key]
            del self._keys[bisect_left(self._keys, key)]
        self._indexes.replace(key, current, previous)

    def _advance(self, revision: Revision) -> None:
        self._revision = max(self._revision, revision)
        while self._waiting and self._waiting[0][0] <= self._revision:
            arrived = heapq.heappop(self._waiting)[2]
            if not arrived.done():
                arrived.set_result(None)

    def _entry(self, key: str, value: bytes, revision: Revision) -> Entry[T] | None:
        try:
            return Entry(key, revision, with_resource_version(value, revision), self._parse)
        except ValueError as error:
            refuse_encrypted(key, value)
            log.error("%s at revision %d is not served: %s", key, revision, error)
            SKIPPED.labels(self._resource).inc()
            return None

    def _end_watches(self) -> None:
        for watch in list(self._watches):
            self._watches.remove(watch)
            watch.end()
