"""Objects of one resource in the store: dicts in, dicts out, the store's errors told as the API tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from apimachinery.api.catalogue import Resource
from apimachinery.kit.trace import current as current_trace
from apimachinery.meta import objects, status
from controlplane.apiserver.encryption.storage import EncryptedStorage
from controlplane.apiserver.storage.interface import (
    Compacted,
    FutureRevision,
    KeyExists,
    KeyMissing,
    ListPage,
    OutcomeUnknown,
    RevisionMismatch,
    Storage,
    StorageError,
    Stored,
    Unavailable,
    Unreadable,
    Unwritable,
)
from controlplane.apiserver.storage.keys import namespace_prefix, registry_key
from controlplane.apiserver.storage.served import refuse_encrypted, spliced

Object = dict[str, Any]
Keep = Callable[[Object, bytes], None]
"""Told of an object that was written, and of its bytes as clients get them."""

MAX_ATTEMPTS = 100
"""Lost races of one update before the client is told to try again; each loss means that somebody else won."""


def decode(stored: Stored) -> Object:
    """The object with its resourceVersion, a new dict. Raises Unreadable."""
    try:
        obj: Object = orjson.loads(stored.value)
    except orjson.JSONDecodeError:
        refuse_encrypted(stored.key, stored.value)
        raise
    obj["metadata"]["resourceVersion"] = str(stored.mod_revision)
    return obj


def encode(obj: Object) -> bytes:
    """The stored form: apiVersion, kind and metadata first, without resourceVersion."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    return orjson.dumps({"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, **rest})


class told:  # used as a verb; a generator in its place takes three times as long
    """Turns what the store raises into what the API answers. name: "" where many are read."""

    __slots__ = ("_name", "_resource")

    def __init__(self, resource: Resource, name: str) -> None:
        self._resource, self._name = resource, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StorageError):
            raise _answer(error, self._resource, self._name) from None


def _answer(error: StorageError, resource: Resource, name: str) -> status.ApiError:
    match error:
        case KeyExists():
            return status.already_exists(resource, name)
        case KeyMissing():
            return status.not_found(resource, name)
        case RevisionMismatch():
            return status.conflict(resource, name)
        case Compacted():
            return status.expired(str(error))
        case FutureRevision():
            return too_large(error.requested, error.current)
        case Unreadable():
            return status.internal(error.why if name else str(error))
        case Unwritable():
            return status.internal(str(error))
        case _:
            return _failed(error)


def _failed(error: StorageError) -> status.ApiError:
    """What is answered when the store did not do what it should have."""
    if error.said:  # upstream passes on what etcd says, as an error of no kind (ErrorToAPIStatus)
        return status.ApiError(500, "", error.said)
    if isinstance(error, OutcomeUnknown):
        return status.timeout(f"request did not complete within requested timeout - {error}")
    if isinstance(error, Unavailable):
        # Certainly not done: clients may repeat it, and those of client-go do.
        return status.ApiError(
            503, "ServiceUnavailable", f"the store is not available: {error}", {"retryAfterSeconds": 1}
        )
    return status.internal(str(error))


def too_large(requested: int, current: int) -> status.ApiError:
    """504 for a resourceVersion that is not there yet (storage.NewTooLargeResourceVersionError)."""
    message = f"Too large resource version: {requested}, current: {current}"
    cause = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return status.ApiError(504, "Timeout", f"Timeout: {message}", {"retryAfterSeconds": 1, "causes": cause})


def _keep(keep: Keep | None, made: Object, value: bytes, revision: int) -> None:
    # What cannot be served by a splice is as well written anew by whoever answers.
    if keep is not None and (served := spliced(value, revision)) is not None:
        keep(made, served)


class ObjectStore:
    """The stored objects of `resource` (which is in the version that is stored)."""

    def __init__(self, resource: Resource, storage: Storage) -> None:
        self.resource, self.storage, self._about = resource, storage, resource.group_resource

    def key(self, namespace: str, name: str) -> str:
        return registry_key(self.resource, name, namespace)

    def prefix(self, namespace: str = "") -> str:
        return namespace_prefix(self.resource, namespace)

    async def find(self, namespace: str, name: str) -> Object | None:
        """The newest version, or None."""
        with told(self.resource, name):
            stored = await self.storage.get(self.key(namespace, name))
            return decode(stored) if stored else None

    async def get(self, namespace: str, name: str) -> Object:
        """The newest version. Raises ApiError 404."""
        found = await self.find(namespace, name)
        if found is None:
            raise status.not_found(self.resource, name)
        return found

    async def page(self, namespace: str, *, revision: int = 0, limit: int = 0, start_after: str = "") -> ListPage:
        """A page of the collection. Raises ApiError 410, 504, 503."""
        with told(self.resource, ""):
            return await self.storage.list(
                self.prefix(namespace), revision=revision, limit=limit, start_after=start_after
            )

    async def all(self, namespace: str = "") -> list[Object]:
        """Every object, newest versions."""
        return (await self.all_at(namespace))[0]

    async def all_at(self, namespace: str = "") -> tuple[list[Object], int]:
        """The same, and the revision at which it was so."""
        page = await self.page(namespace)
        with told(self.resource, ""):
            return [decode(stored) for stored in page.items], page.revision

    async def create(self, obj: Object, ttl: int | None = None, keep: Keep | None = None) -> Object:
        """The stored object, with its resourceVersion. Raises ApiError 409 AlreadyExists."""
        meta, value = obj["metadata"], encode(obj)
        with told(self.resource, meta["name"]):
            revision = await self.storage.create(self.key(meta.get("namespace") or "", meta["name"]), value, ttl)
        made = self._stored(obj, revision, "ADDED")
        _keep(keep, made, value, revision)
        return made

    async def replace(
        self,
        obj: Object,
        current: Object,
        ttl: int | None = None,
        *,
        rewrite: bool = False,
        keep: Keep | None = None,
    ) -> Object:
        """Write `obj` if `current` is still what is stored; `current` itself when nothing changed (unless `rewrite`).

        Raises ApiError 409 Conflict and 404.
        """
        meta = current["metadata"]
        same = {**obj, "metadata": {**obj["metadata"], "resourceVersion": meta["resourceVersion"]}} == current
        if same and not rewrite and not self.is_stale(current):
            return current
        value = encode(obj)
        with told(self.resource, meta["name"]):
            revision = await self.storage.update(
                self.key(meta.get("namespace") or "", meta["name"]), value, int(meta["resourceVersion"]), ttl
            )
        made = self._stored(obj, revision, "MODIFIED")
        _keep(keep, made, value, revision)
        return made

    def is_stale(self, current: Object) -> bool:
        """Whether that version was read in a form that would be stored otherwise now: encrypted with a key that is no
        longer the first. A write of the same rotates it."""
        if not isinstance(self.storage, EncryptedStorage):
            return False
        meta = current["metadata"]
        key = self.key(meta.get("namespace") or "", meta["name"])
        return self.storage.is_stale(key, int(meta["resourceVersion"]))

    async def remove(self, current: Object) -> Object:
        """Delete if `current` is still what is stored; the object at the revision of its removal."""
        meta = current["metadata"]
        with told(self.resource, meta["name"]):
            revision = await self.storage.delete(
                self.key(meta.get("namespace") or "", meta["name"]), int(meta["resourceVersion"])
            )
        return self._stored(current, revision, "DELETED")

    async def modify(self, namespace: str, name: str, change: Callable[[Object], Awaitable[Object]]) -> Object:
        """Read, change and write until nobody wrote in between. `change` returns a new object (or the same one, for
        nothing to do) and may be called several times. Raises ApiError 404, and what `change` raises."""
        for _ in range(MAX_ATTEMPTS):
            current = await self.get(namespace, name)
            changed = await change(current)
            try:
                return await self.replace(changed, current)
            except status.ApiError as error:
                if not status.is_conflict(error):
                    raise
        raise status.server_timeout(self.resource, "update", 1)

    def _stored(self, obj: Object, revision: int, how: str) -> Object:
        """`obj` at its new revision, which is noted."""
        made = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}
        if (trace := current_trace()) is not None:
            trace.note("stored", self._about, objects.key(made), str(revision), how)
        return made
