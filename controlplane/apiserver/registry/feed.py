"""Keeping an index of stored objects up to date: what authorization looks at for every request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import orjson

from controlplane.apiserver.storage.interface import ChangeType, Storage, StorageError

log = logging.getLogger(__name__)

Object = dict[str, Any]
_RETRY = 1.0


class Feed:
    """Calls `put` and `drop` for every object under a prefix, from its present state on, in order."""

    def __init__(
        self, storage: Storage, prefix: str, put: Callable[[Object], None], drop: Callable[[Object], None]
    ) -> None:
        self._storage, self._prefix, self._put, self._drop = storage, prefix, put, drop
        self._known: dict[str, bytes] = {}
        self.synced = asyncio.Event()

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
        present = {item.key: item.value for item in page.items}
        for key in self._known.keys() - present.keys():
            self._forget(key)
        for key, value in present.items():
            self._learn(key, value)
        self.synced.set()
        async with self._storage.watch(self._prefix, page.revision) as changes:
            async for change in changes:
                if change.type is ChangeType.DELETE:
                    self._forget(change.key)
                elif change.type is not ChangeType.PROGRESS:
                    self._learn(change.key, change.value)

    def _learn(self, key: str, value: bytes) -> None:
        if self._known.get(key) != value:
            self._known[key] = value
            self._put(orjson.loads(value))

    def _forget(self, key: str) -> None:
        value = self._known.pop(key, None)
        if value is not None:
            self._drop(orjson.loads(value))
