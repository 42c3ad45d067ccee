"""The verb update, and the way every change of an object takes (patch included)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery.meta import status
from apimachinery.meta.objects import copied
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.create import create_object
from controlplane.apiserver.registry.delete import is_finished, take_away
from controlplane.apiserver.registry.managers import keep_times, record_change
from controlplane.apiserver.registry.race import Raced, begin_change
from controlplane.apiserver.registry.store import MAX_ATTEMPTS

Object = dict[str, Any]
Change = Callable[[Object], Awaitable[Object]]


async def update(collection: Collection, call: Call, document: Any) -> tuple[Object, bool]:
    """PUT: the object as stored, and whether it was created. Raises ApiError 400, 403, 404, 409 Conflict, 422."""
    asked = read(call, document, *call.resource.gvk)
    metadata.place(call, asked)
    metadata.unite_owners(call, asked)
    asked = await converted(asked, collection.resource)
    name, key = asked["metadata"]["name"], collection.store.key(call.namespace, call.name)
    unconditional = collection.strategy.unconditional_update

    async def change(current: Object) -> Object:
        metadata.check_uid(collection.resource, key, asked, current)
        metadata.check_version(collection.resource, asked, current, unconditional=unconditional)
        return copied(asked)

    try:
        return await converted(await change_object(collection, call, name, change), call.resource), False
    except status.ApiError as error:
        if not status.is_not_found(error):
            raise
        if asked["metadata"].get("uid") and await collection.store.find(call.namespace, name) is None:
            metadata.check_uid(collection.resource, key, asked, None)
        if not collection.strategy.create_on_update or call.subresource:
            raise
    asked["metadata"].pop("resourceVersion", None)  # of what is gone: nobody minds, as upstream
    created = await create_object(collection, call, asked)
    return await converted(created, call.resource), True


async def change_object(
    collection: Collection,
    call: Call,
    name: str,
    change: Change,
    *,
    attempts: int = MAX_ATTEMPTS,
    managed: bool = False,
) -> Object:
    """Apply `change` (current object of the stored version → a new one, its own) and write it, again while others
    write in between. managed: `change` has seen to managedFields. The result is of the stored version.

    Raises what `change` raises, ApiError 404, 409, 422.
    """

    async def attempt(stored: Object) -> tuple[Object, bool]:
        current = await converted(stored, collection.resource)
        new = await change(copied(current))
        metadata.fill_updated(new, current)
        try:
            rewrite = current is not stored
            return await _write(collection, call, new, current, managed, rewrite=rewrite), False
        except status.ApiError as error:
            # A conflict from the store, not from `change` (a stale resourceVersion or uid is told outside the try).
            if status.is_conflict(error):
                raise Raced(error) from None
            raise

    changed, _ = await begin_change(collection, call, name, attempt, attempts)
    return changed


async def _write(
    collection: Collection, call: Call, new: Object, current: Object, managed: bool, *, rewrite: bool
) -> Object:
    """rewrite: even an unchanged object is written, because it is stored in a version that is no longer the one."""
    strategy = collection.strategy
    strategy.drop_disabled(new, current)
    if call.subresource == "status":
        strategy.prepare_status(call, new, current)
    elif call.subresource:
        strategy.prepare_subresource(call, new, current)
    else:
        strategy.prepare_update(call, new, current)
    if not managed:
        # Before admission, as upstream: what plug-ins change is nobody's, and webhooks are shown who changed what.
        entries = await record_change(call, new, current, collection.clock.now())
        metadata.set_managers(new, entries)
    review = Review(call, "UPDATE", new, current)
    await collection.admission.mutate(review)
    metadata.unite_owners(call, new, metadata.AFTER_ADMISSION)
    if strategy.generated and call.subresource != "status" and strategy.spec_changed(new, current):
        new["metadata"]["generation"] = (current["metadata"].get("generation") or 0) + 1
    if not managed:
        metadata.set_managers(new, entries)
    keep_times(new, current)
    await strategy.authorize(call, new, current)
    async with strategy.claim(call, new, current):
        collection.refuse(current["metadata"]["name"], strategy.validate_update(call, new, current))
        strategy.warn(call, new, current)
        await collection.admission.validate(review)
        if call.dry_run:
            return new
        if is_finished(strategy, new):
            # The last finalizer of an object that waits for its end: this write is the end.
            return await take_away(collection, current, new)
        return await collection.store.replace(new, current, strategy.ttl(new), rewrite=rewrite, keep=call.keep)
