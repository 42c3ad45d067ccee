"""The verb watch: an ordered stream of what happens to the objects that are selected, from a given revision on."""

from __future__ import annotations

import orjson

from apimachinery.meta import status
from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.narrowing import narrowed_watch
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import told
from controlplane.apiserver.storage.cache_entries import WatchEvent
from controlplane.apiserver.storage.cache_history import EventStream


async def open_watch(
    collection: Collection, namespace: str, selection: Selection, options: ListOptions
) -> EventStream[Attributes]:
    """The watch as the options ask for; enter it to have it closed. Raises ApiError 503, 504 (a resourceVersion yet to
    come); a revision that is no longer held is told by the stream itself."""
    stream = await _open(collection, namespace, selection, options)
    return narrowed_watch(collection, selection, stream)


async def _open(
    collection: Collection, namespace: str, selection: Selection, options: ListOptions
) -> EventStream[Attributes]:
    prefix, selects, pin = collection.store.prefix(namespace), selection.selects(), selection.pin
    cache = collection.cache
    with told(collection.resource, ""):
        if options.send_initial_events:
            return await cache.watch_state(
                prefix,
                fresh=options.revision,
                selects=selects,
                pin=pin,
                bookmarks=options.bookmarks,
                initial_end=options.bookmarks,
            )
        if options.revision:
            revision = options.revision
        else:
            revision = await collection.store.storage.current_revision()
        return await cache.watch(prefix, revision, selects=selects, pin=pin, bookmarks=options.bookmarks)


async def next_batch(
    collection: Collection, stream: EventStream[Attributes]
) -> tuple[list[WatchEvent[Attributes]], status.ApiError | None]:
    """What comes next: events, then nothing more; or what ended the stream."""
    try:
        with told(collection.resource, ""):
            return await stream.batch(), None
    except status.ApiError as error:
        return [], error


def bookmark(api_version: str, kind: str, event: WatchEvent[Attributes]) -> bytes:
    """The object of a BOOKMARK: only its kind and the revision."""
    metadata: dict[str, object] = {"resourceVersion": str(event.revision), "creationTimestamp": None}
    if event.initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
