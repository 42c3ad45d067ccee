"""A store whose values are encrypted: it stands between the registry and the real store, so that everything above it,
caches too, sees plain values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec.structs import replace

from apimachinery.api.catalogue import CATALOGUE
from controlplane.apiserver.encryption.current import Current
from controlplane.apiserver.storage.around import StorageAround, WatchAround
from controlplane.apiserver.storage.interface import (
    Change,
    ListPage,
    Revision,
    RevisionMismatch,
    Storage,
    Stored,
    Watch,
)
from controlplane.apiserver.storage.keys import ROOT, registry_prefix

if TYPE_CHECKING:  # the ciphers, which a server without encryption does without
    from controlplane.apiserver.encryption.providers import Providers
    from controlplane.apiserver.encryption.validation import Resource

Result = TypeVar("Result")

_REMEMBERED = 10_000
"""Values known to be stored with an old key; forgetting one only means that its next no-op write stays a no-op."""


def _built_in() -> dict[str, Resource]:
    known: dict[str, Resource] = {}
    for resource in sorted(CATALOGUE, key=lambda each: each.group):  # the core group's events come first
        known.setdefault(registry_prefix(resource), (resource.group, resource.plural))
    return known


class Configured(Protocol):
    """The providers of each resource, as they are now."""

    @property
    def value(self) -> Mapping[Resource, Providers]: ...


class EncryptedStorage(StorageAround):
    """`Storage` over another one. Closing it closes a `configured` that has to be. begin: what keys begin with in etcd,
    in the place of ROOT (--etcd-prefix)."""

    def __init__(self, storage: Storage, configured: Configured, begin: str = ROOT) -> None:
        super().__init__(storage)
        self.configured, self._begin = configured, begin
        self._built_in = _built_in()
        self._stale: OrderedDict[str, Revision] = OrderedDict()

    def is_stale(self, key: str, revision: Revision) -> bool:
        """Whether that version was read in a form that would be stored otherwise now."""
        return self._stale.get(key) == revision

    def outer(self, key: str) -> str:
        """The key as etcd has it, which a value is bound to."""
        return key if self._begin == ROOT else self._begin + key.removeprefix(ROOT)

    def providers_of(self, key: str) -> Providers | None:
        """The providers of the resource that a key (or prefix) belongs to; None for what is stored plainly."""
        resource = self._resource_of(key)
        if resource is None:
            return None
        configured = self.configured.value
        return next(
            (configured[each] for each in (resource, (resource[0], "*"), ("*", "*")) if each in configured), None
        )

    def _resource_of(self, key: str) -> Resource | None:
        first, _, rest = key.removeprefix(ROOT).partition("/")
        if (known := self._built_in.get(f"{ROOT}{first}/")) is not None:
            return known
        second = rest.partition("/")[0]
        if (known := self._built_in.get(f"{ROOT}{first}/{second}/")) is not None:
            return known
        # Of a definition: kept under its group. Anything else (allocations, leases of servers) has no API.
        return (first, second) if "." in first and second else None

    def _written(self, value: bytes, key: str) -> bytes:
        providers = self.providers_of(key)
        return value if providers is None else providers.write(value, self.outer(key))

    async def _read(self, stored: Stored, providers: Providers | None) -> Stored:
        if providers is None:
            return stored
        value, stale = await providers.opened(stored.value, self.outer(stored.key))
        if stale:
            self._stale[stored.key] = stored.mod_revision
            while len(self._stale) > _REMEMBERED:
                self._stale.popitem(last=False)
        return replace(stored, value=value)

    async def _told(self, key: str, writing: Awaitable[Result]) -> Result:
        try:
            return await writing
        except RevisionMismatch as error:
            error.current = await self._read(error.current, self.providers_of(key))
            raise

    async def create(self, key: str, value: bytes, ttl: int | None = None) -> Revision:
        return await self._storage.create(key, self._written(value, key), ttl)

    async def get(self, key: str, *, revision: Revision = 0) -> Stored | None:
        stored = await self._storage.get(key, revision=revision)
        return await self._read(stored, self.providers_of(key)) if stored is not None else None

    async def list(self, prefix: str, *, revision: Revision = 0, limit: int = 0, start_after: str = "") -> ListPage:
        page = await self._storage.list(prefix, revision=revision, limit=limit, start_after=start_after)
        providers = self.providers_of(prefix)
        if providers is None:
            return page
        return replace(page, items=[await self._read(item, providers) for item in page.items])

    async def update(self, key: str, value: bytes, expected_revision: Revision, ttl: int | None = None) -> Revision:
        writing = self._storage.update(key, self._written(value, key), expected_revision, ttl)
        revision = await self._told(key, writing)
        self._stale.pop(key, None)
        return revision

    async def delete(self, key: str, expected_revision: Revision) -> Revision:
        return await self._told(key, self._storage.delete(key, expected_revision))

    async def close(self) -> None:
        await super().close()
        if isinstance(self.configured, Current):
            await self.configured.close()

    def watch(self, prefix: str, from_revision: Revision) -> Watch:
        return _PlainWatch(self._storage.watch(prefix, from_revision), self, prefix)


class _PlainWatch(WatchAround):
    """A watch of encrypted values that yields plain ones."""

    def __init__(self, watch: Watch, storage: EncryptedStorage, prefix: str) -> None:
        super().__init__(watch)
        self._storage, self._prefix = storage, prefix
        self._coming: Change | None = None

    async def __anext__(self) -> Change:
        # Whoever is cancelled while a key is learned gets the same change next time.
        if self._coming is None:
            self._coming = await self._watch.__anext__()
        change = await self._plain(self._coming)
        self._coming = None
        return change

    async def _plain(self, change: Change) -> Change:
        providers = self._storage.providers_of(self._prefix)
        if providers is None:
            return change
        value, before, key = change.value, change.prev_value, self._storage.outer(change.key)
        if value:
            value, _ = await providers.opened(value, key)
        if before:
            before, _ = await providers.opened(before, key)
        return replace(change, value=value, prev_value=before)
