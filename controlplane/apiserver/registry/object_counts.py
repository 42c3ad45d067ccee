"""apiserver_storage_objects: how many objects of each resource the store holds; apiserver_storage_size_bytes: how large
it is."""

from __future__ import annotations

import asyncio

from apimachinery.api.catalogue import Catalogue
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Gauge
from controlplane.apiserver.registry.conversion import stored_resource
from controlplane.apiserver.storage.interface import Storage, StorageError
from controlplane.apiserver.storage.keys import registry_prefix

_OBJECTS = Gauge(
    "apiserver_storage_objects",
    "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will "
    "be -1.",
    ["resource"],
)
_SIZE = Gauge(
    "apiserver_storage_size_bytes",
    "[STABLE] Size of the storage database file physically allocated in bytes.",
    ["storage_cluster_id"],
)
_CLUSTER = "etcd-0"  # there is one store
_PERIOD = 60.0
"""Seconds between two counts, as upstream's --etcd-count-metric-poll-period."""


class ObjectCounts:
    """Counts when somebody looks at the metrics, at most once a minute; the size is looked at each time."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock
        self._next = 0.0

    async def update(self, catalogue: Catalogue) -> None:
        """Costs one count in the store for every resource that is stored, when it is time."""
        await self._measure()
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + _PERIOD
        for resource in catalogue:
            if "list" in resource.verbs and "create" in resource.verbs and stored_resource(resource) is resource:
                _OBJECTS.labels(resource.group_resource).set(await self._count(registry_prefix(resource)))

    async def _measure(self) -> None:
        try:
            async with asyncio.timeout(1):
                size = await self._storage.size()
        except (StorageError, TimeoutError):
            _SIZE.clear()  # what is not known is not told
        else:
            _SIZE.labels(_CLUSTER).set(size)

    async def _count(self, prefix: str) -> int:
        try:
            page = await self._storage.list(prefix, limit=1)
        except StorageError:
            return -1
        return len(page.items) + page.remaining
