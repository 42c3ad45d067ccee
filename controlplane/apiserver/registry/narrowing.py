"""Lists and watches by fields that an object has only in the version asked for: what the cache selects by labels and
metadata is converted (`shown`), then judged by the rest of the selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.shown import PORTION, Shown
from controlplane.apiserver.storage.cache_entries import CacheEvent, Entry, WatchEvent
from controlplane.apiserver.storage.cache_history import EventStream
from controlplane.apiserver.storage.cache_page import CachePage
from controlplane.apiserver.storage.cache_watch import CacheWatch
from controlplane.apiserver.storage.interface import Revision

Item = Entry[Attributes]
Event = WatchEvent[Attributes]


def portion(selection: Selection, limit: int) -> int:
    """How many entries to read for a page of at most `limit` (0: all)."""
    return max(limit, PORTION) if limit and selection.made is not None else limit


async def narrowed(
    collection: Collection, prefix: str, selection: Selection, page: CachePage[Attributes], limit: int
) -> CachePage[Attributes]:
    """The entries that are meant, as their version shows them: the first `limit` (0: all) of `page` and, where it is
    not the last, of what follows it in the same snapshot. Raises ApiError 500, and as Cacher.list_at."""
    made = selection.made
    if made is None:
        return page
    shown, found = collection.shown(made.resource), []
    while True:
        entries = await shown.of(page.entries)
        for position, entry in enumerate(entries, 1):
            if made.matches(entry):
                found.append(entry)
                if len(found) == limit:
                    return CachePage(found, page.revision, page.more or position < len(entries))
        if not page.more:
            return CachePage(found, page.revision)
        page = await collection.cache.list_at(
            prefix,
            page.revision,
            selects=selection.selects(),
            pin=selection.pin,
            limit=portion(selection, limit),
            start_after=page.entries[-1].key,
        )


def narrowed_watch(
    collection: Collection, selection: Selection, stream: EventStream[Attributes]
) -> EventStream[Attributes]:
    """`stream`, which selects as the cache does, with what is meant of it."""
    made = selection.made
    if made is None:
        return stream
    return NarrowedWatch(stream, collection.shown(made.resource), made.matches)


class NarrowedWatch:
    """An EventStream. What it has taken from `stream` and waits to have converted is not counted against that one's
    buffer, which bounds what comes meanwhile. `batch` raises ApiError 500, too, after which it is over."""

    def __init__(
        self, stream: EventStream[Attributes], shown: Shown[Attributes], selects: Callable[[Item], bool]
    ) -> None:
        self._stream, self._shown, self._selects = stream, shown, selects

    @property
    def live(self) -> CacheWatch[Attributes] | None:
        """None: somebody has to be asked before anything can be pushed."""
        return None

    async def batch(self) -> list[Event]:
        """As EventStream.batch."""
        while events := await self._stream.batch():
            if told := await self._seen(events):
                return told
        return []

    async def _seen(self, events: list[Event]) -> list[Event]:
        wanted = [entry for event in events for entry in _states(event) if entry is not None]
        shown = iter(await self._shown.of(wanted))
        told: list[Event] = []
        for event in events:
            if event.entry is None:
                told.append(event)
                continue
            before, after = (None if state is None else next(shown) for state in _states(event))
            change = CacheEvent(event.entry.key, event.revision, after, before, event.entry.parse)
            if (seen := change.seen_by(self._selects)) is not None:
                told.append(seen)
        return told

    def offer_bookmark(self, revision: Revision) -> None:
        """As EventStream.offer_bookmark."""
        self._stream.offer_bookmark(revision)

    def when_too_slow(self, act: Callable[[], None]) -> None:
        """As EventStream.when_too_slow."""
        self._stream.when_too_slow(act)

    def close(self) -> None:
        """The reader has gone. Idempotent."""
        self._stream.close()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *about: object) -> None:
        await self._stream.__aexit__(*about)


def _states(event: Event) -> tuple[Item | None, Item | None]:
    """Before and after, as far as the cache's own selection saw it; a bookmark has neither."""
    return event.previous, None if event.type == "DELETED" else event.entry
