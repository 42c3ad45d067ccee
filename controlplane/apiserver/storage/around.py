"""What a store that stands around another one leaves as it is."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from controlplane.apiserver.storage.interface import Change, Revision, Storage, Watch


class StorageAround:
    """The methods of `Storage` that are about no key and no value."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def current_revision(self) -> Revision:
        return await self._storage.current_revision()

    @property
    def seen_revision(self) -> Revision:
        return self._storage.seen_revision

    async def compact(self, revision: Revision) -> None:
        await self._storage.compact(revision)

    async def healthy(self) -> None:
        await self._storage.healthy()

    async def size(self) -> int:
        return await self._storage.size()

    async def close(self) -> None:
        await self._storage.close()


class WatchAround:
    """A watch whose changes are told as `shown` gives them."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def shown(self, change: Change) -> Change:
        """The change as it is told; PROGRESS too."""
        return change

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        return self.shown(await self._watch.__anext__())

    def request_progress(self, revision: Revision) -> None:
        self._watch.request_progress(revision)

    async def aclose(self) -> None:
        await self._watch.aclose()

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._watch.__aexit__(kind, error, trace)
