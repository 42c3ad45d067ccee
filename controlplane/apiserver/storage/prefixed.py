"""--etcd-prefix: a store whose keys do not begin with /registry/, so that several clusters can share an etcd."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from msgspec.structs import replace

from controlplane.apiserver.storage.around import StorageAround, WatchAround
from controlplane.apiserver.storage.interface import (
    Change,
    KeyExists,
    KeyMissing,
    ListPage,
    Revision,
    RevisionMismatch,
    Storage,
    Stored,
    Watch,
)
from controlplane.apiserver.storage.keys import ROOT

Result = TypeVar("Result")


class PrefixedStorage(StorageAround):
    """`Storage` over another one: what is under ROOT here is under `begin` there. Not used where they are the same."""

    def __init__(self, storage: Storage, begin: str) -> None:
        super().__init__(storage)
        self._begin = begin

    def outer(self, key: str) -> str:
        """The key as the store below has it."""
        return self._begin + key.removeprefix(ROOT)

    def inner(self, key: str) -> str:
        """The key of the store below as it is known here."""
        return ROOT + key.removeprefix(self._begin)

    def _shown(self, stored: Stored) -> Stored:
        return replace(stored, key=self.inner(stored.key))

    async def _told(self, key: str, writing: Awaitable[Result]) -> Result:
        try:
            return await writing
        except KeyExists:
            raise KeyExists(key) from None
        except KeyMissing:
            raise KeyMissing(key) from None
        except RevisionMismatch as error:
            raise RevisionMismatch(key, error.expected, self._shown(error.current)) from None

    async def create(self, key: str, value: bytes, ttl: int | None = None) -> Revision:
        return await self._told(key, self._storage.create(self.outer(key), value, ttl))

    async def get(self, key: str, *, revision: Revision = 0) -> Stored | None:
        stored = await self._storage.get(self.outer(key), revision=revision)
        return self._shown(stored) if stored is not None else None

    async def list(self, prefix: str, *, revision: Revision = 0, limit: int = 0, start_after: str = "") -> ListPage:
        after = self.outer(start_after) if start_after else ""
        page = await self._storage.list(self.outer(prefix), revision=revision, limit=limit, start_after=after)
        return replace(page, items=[self._shown(item) for item in page.items])

    async def update(self, key: str, value: bytes, expected_revision: Revision, ttl: int | None = None) -> Revision:
        return await self._told(key, self._storage.update(self.outer(key), value, expected_revision, ttl))

    async def delete(self, key: str, expected_revision: Revision) -> Revision:
        return await self._told(key, self._storage.delete(self.outer(key), expected_revision))

    def watch(self, prefix: str, from_revision: Revision) -> Watch:
        return _ShownWatch(self._storage.watch(self.outer(prefix), from_revision), self)


class _ShownWatch(WatchAround):
    """A watch that tells of keys as they are known here."""

    def __init__(self, watch: Watch, storage: PrefixedStorage) -> None:
        super().__init__(watch)
        self._storage = storage

    def shown(self, change: Change) -> Change:
        return replace(change, key=self._storage.inner(change.key)) if change.key else change
