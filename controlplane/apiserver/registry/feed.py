"""Keeping an index of stored objects up to date: what authorization looks at for every request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import orjson

from apimachinery.api.catalogue import Resource
from controlplane.apiserver.storage.interface import ChangeType, Revision, Storage, StorageError, Unreadable
from controlplane.apiserver.storage.keys import registry_prefix

log = logging.getLogger(__name__)

Object = dict[str, Any]
Told = Callable[[Object], None]
Concerns = Callable[[bytes], bool]
_RETRY = 1.0


class Feed:
    """Calls `put` and `drop` for every object of a resource, from its present state on, in order. `drop` is given the
    kind, name and namespace of what is gone, and nothing else: what was, is kept nowhere here.

    concerns: whether an object is to be `put`, by its stored bytes; of one that is not, `drop` alone may be heard.
    Asked before anything is parsed, for what is made often and matters seldom: a pod costs 10 µs to read.
    whole: nothing counts while one of them cannot be read. For what forbids: left out, it would let through.
    """

    def __init__(
        self,
        storage: Storage,
        resource: Resource,
        put: Told,
        drop: Told,
        concerns: Concerns | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._storage, self._resource, self._prefix = storage, resource, registry_prefix(resource)
        self._concerns, self._whole = concerns, whole
        self._followers = [(put, drop)]
        self._known: dict[str, Revision] = {}
        self.synced = asyncio.Event()

    def also(self, put: Told, drop: Told) -> None:
        """Tell these, too, after the others; to be called before `run`."""
        self._followers.append((put, drop))

    async def run(self) -> None:
        """Until cancelled; a store that does not answer, or has forgotten, is asked again from the start."""
        while True:
            try:
                await self._follow()
            except StorageError as error:
                log.warning("following %s: %s", self._prefix, error)
                await asyncio.sleep(_RETRY)

    async def _follow(self) -> None:
        page = await self._storage.list(self._prefix)
        for key in self._known.keys() - {item.key for item in page.items}:
            self._forget(key)
        for item in page.items:
            if self._known.get(item.key) != item.mod_revision:
                self._learn(item.key, item.value, item.mod_revision)
        self.synced.set()
        revision = page.revision
        del page  # its bytes are many, and the watch is for ever
        async with self._storage.watch(self._prefix, revision) as changes:
            async for change in changes:
                if change.type is ChangeType.DELETE:
                    self._forget(change.key)
                elif change.type is not ChangeType.PROGRESS:
                    self._learn(change.key, change.value, change.revision)

    def _learn(self, key: str, value: bytes, revision: Revision) -> None:
        if self._concerns is not None and not self._concerns(value):
            self._forget(key)  # another of that name may have been told of
            self._known[key] = revision
            return
        try:
            obj = orjson.loads(value)
        except ValueError as error:
            words = f"what is stored as {key} cannot be read: {error}"
            if self._whole:
                raise Unreadable(words) from None
            log.error("%s", words)
            self._known[key] = revision
            return
        self._known[key] = revision
        for put, _ in self._followers:
            self._tell(put, obj, key)

    def _forget(self, key: str) -> None:
        if self._known.pop(key, None) is None:
            return
        namespace, _, name = key.removeprefix(self._prefix).rpartition("/")
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        for _, drop in self._followers:
            self._tell(drop, {"kind": self._resource.kind, "metadata": metadata}, key)

    def _tell(self, told: Told, obj: Object, key: str) -> None:
        """Whoever stumbles over one object hears of all others: nobody may go by an index that has ended unseen."""
        try:
            told(obj)
        except Exception:
            log.exception("%s was not taken note of", key)
