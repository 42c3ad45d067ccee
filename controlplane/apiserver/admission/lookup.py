"""Objects that plug-ins look up for every request, kept by a feed of the store (upstream's informers)."""

from __future__ import annotations

import asyncio
from typing import Any

from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]

READY_TIMEOUT = 10.0
"""Seconds that a request waits for a lookup that has not seen the store yet."""


class Lookup:
    """The objects of one kind. They are shared: nobody changes them.

    The feed may be behind by the time one change takes to arrive; `find` asks the store for what it does not know.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._objects: dict[str, dict[str, Object]] = {}
        self.version = 0  # of the content, for those who derive something from it
        self.feed = Feed(store.storage, store.resource, self._put, self._drop, whole=True)

    async def ready(self, review: Review) -> None:
        """Wait for the first look at the store. Raises ApiError 403 when it does not come."""
        if self.feed.synced.is_set():
            return
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self.feed.synced.wait()
        except TimeoutError:
            raise review.forbidden("not yet ready to handle request") from None

    def all(self, namespace: str = "") -> list[Object]:
        """The objects of a namespace ("" for those that are in none), by name."""
        found = self._objects.get(namespace) or {}
        return [found[name] for name in sorted(found)]

    def has(self, namespace: str = "") -> bool:
        """Whether there are any in the namespace."""
        return bool(self._objects.get(namespace))

    async def find(self, namespace: str, name: str) -> Object | None:
        """The object; one that is not known yet is asked of the store. Raises ApiError 503."""
        found = (self._objects.get(namespace) or {}).get(name)
        return found if found is not None else await self._store.find(namespace, name)

    def _put(self, obj: Object) -> None:
        meta = obj["metadata"]
        self._objects.setdefault(meta.get("namespace") or "", {})[meta["name"]] = obj
        self.version += 1

    def _drop(self, obj: Object) -> None:
        meta = obj["metadata"]
        here = self._objects.get(meta.get("namespace") or "", {})
        here.pop(meta["name"], None)
        if not here:
            self._objects.pop(meta.get("namespace") or "", None)
        self.version += 1
