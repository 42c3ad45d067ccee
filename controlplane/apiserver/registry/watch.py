"""The verb watch: an ordered stream of what happens to the objects that are selected, from a given revision on."""

from __future__ import annotations

import orjson

from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import told
from controlplane.apiserver.storage.cache_entries import WatchEvent
from controlplane.apiserver.storage.cache_watch import CacheWatch


async def open_watch(
    collection: Collection, namespace: str, selection: Selection, options: ListOptions
) -> CacheWatch[Attributes]:
    """The watch as the options ask for; close it. Raises ApiError 410 Expired, 503, 504."""
    prefix, selects, cache = collection.store.prefix(namespace), selection.selects(), collection.cache
    with told(collection.resource, ""):
        if options.send_initial_events:
            return await cache.watch_state(
                prefix,
                fresh=options.revision,
                selects=selects,
                bookmarks=options.bookmarks,
                initial_end=options.bookmarks,
            )
        if options.revision:
            return await cache.watch(prefix, options.revision, selects=selects, bookmarks=options.bookmarks)
        if options.send_initial_events is None:
            return await cache.watch_state(prefix, fresh=options.revision, selects=selects, bookmarks=options.bookmarks)
        revision = await collection.store.storage.current_revision()
        return await cache.watch(prefix, revision, selects=selects, bookmarks=options.bookmarks)


def bookmark(api_version: str, kind: str, event: WatchEvent[Attributes]) -> bytes:
    """The object of a BOOKMARK: only its kind and the revision."""
    metadata: dict[str, object] = {"resourceVersion": str(event.revision), "creationTimestamp": None}
    if event.initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
