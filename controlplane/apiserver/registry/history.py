"""Every version of one object that the store still holds: `GET OBJECT?history=true`, which only this server offers.

Read from the store's own history, so it ends where that has been compacted (--history-retention). The answer:

    {"kind": "ObjectHistory", "apiVersion": "kubelab.io/v1", "metadata": {"resourceVersion": NOW},
     "oldest": REVISION, "truncated": false,
     "versions": [{"type": "HELD" | "ADDED" | "MODIFIED" | "DELETED",
                   "resourceVersion": REVISION, "time": RFC3339, "object": …}, …]}

HELD is the version that was there when what is held begins. A deletion comes with the last state of the object. The
time is that of the server's clock to the second (`storage/timeline.py`), absent where it is not known.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import orjson

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status, times
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.store import told
from controlplane.apiserver.storage.interface import Change, ChangeType, Compacted, Revision, Storage
from controlplane.apiserver.storage.served import with_resource_version
from controlplane.apiserver.storage.timeline import Timeline

Object = dict[str, Any]

MAX_BYTES = 16 << 20
"""Of all versions in an answer; the oldest are left out beyond it, and `truncated` says so."""
_TYPES = {ChangeType.CREATE: "ADDED", ChangeType.UPDATE: "MODIFIED", ChangeType.DELETE: "DELETED"}


async def object_history(
    collection: Collection, timeline: Timeline, resource: Resource, namespace: str, name: str
) -> Object:
    """The document above, oldest version first, in the version of `resource`. Raises ApiError 404 when there is none,
    503 when the store does not answer. Cost: what was written to the namespace's objects of that resource."""
    key, prefix = collection.store.key(namespace, name), collection.store.prefix(namespace)
    with told(collection.resource, name):
        now, oldest, versions, truncated = await _read(collection.store.storage, key, prefix)
    if not versions:
        raise status.not_found(collection.resource, name)
    listed = []
    for kind, revision, served in versions:
        entry: Object = {"type": kind, "resourceVersion": str(revision)}
        moment = timeline.time_of(revision)
        if moment is not None and kind != "HELD":
            entry["time"] = times.rfc3339(datetime.fromtimestamp(moment, UTC))
        listed.append({**entry, "object": await converted(orjson.loads(served), resource)})
    return {
        "kind": "ObjectHistory",
        "apiVersion": "kubelab.io/v1",
        "metadata": {"resourceVersion": str(now)},
        "oldest": str(oldest),
        "truncated": truncated,
        "versions": listed,
    }


_Version = tuple[str, Revision, bytes]


async def _read(storage: Storage, key: str, prefix: str) -> tuple[Revision, Revision, list[_Version], bool]:
    oldest: Revision = 0
    while True:
        try:
            now = await storage.current_revision()
            found, truncated = await _versions(storage, key, prefix, oldest, now)
            return now, oldest, found, truncated
        except Compacted as error:
            # The beginning is told by the refusal; it moves on while this is read.
            if error.oldest <= oldest:
                raise
            oldest = error.oldest


async def _versions(
    storage: Storage, key: str, prefix: str, oldest: Revision, now: Revision
) -> tuple[list[_Version], bool]:
    found: deque[_Version] = deque()
    size, truncated = 0, False
    async with storage.watch(prefix, oldest) as changes:
        changes.request_progress(now)
        held = await storage.get(key, revision=oldest) if oldest else None
        if held is not None:
            found.append(("HELD", held.mod_revision, with_resource_version(held.value, held.mod_revision)))
        async for change in changes:
            if change.key == key and change.revision <= now:
                served = _served(change)
                found.append((_TYPES[change.type], change.revision, served))
                size += len(served)
                while size > MAX_BYTES and len(found) > 1:
                    size -= len(found.popleft()[2])
                    truncated = True
            if change.revision >= now:
                break
    return list(found), truncated


def _served(change: Change) -> bytes:
    value = change.prev_value if change.type is ChangeType.DELETE else change.value
    return with_resource_version(value or b"{}", change.revision)
