"""The verb create."""

from __future__ import annotations

from typing import Any

from apimachinery.meta import status
from apimachinery.meta.objects import copied
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.authz.union import refusal
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.managers import record_change

Object = dict[str, Any]

_NAME_ATTEMPTS = 8  # of generateName, before the client is told (upstream's maxNameGenerationCreateAttempts)


async def create(collection: Collection, call: Call, document: Any) -> Object:
    """The object as it was stored (with dryRun: as it would be), in the version of the call.

    Raises ApiError 400, 403, 409 AlreadyExists, 422.
    """
    obj = read(call, document, *call.resource.gvk)
    metadata.place(call, obj)
    metadata.unite_owners(call, obj)
    obj = await converted(obj, collection.resource)
    return await converted(await create_object(collection, call, obj), call.resource)


async def create_object(collection: Collection, call: Call, obj: Object, managed: list[Object] | None = None) -> Object:
    """The same from an object of the stored version that was read already; `managed`: its managedFields."""
    generated = not obj["metadata"].get("name") and bool(obj["metadata"].get("generateName"))
    for attempt in range(_NAME_ATTEMPTS):
        try:
            return await _create(collection, call, copied(obj) if generated else obj, managed)
        except status.ApiError as error:
            if not generated or not status.is_already_exists(error) or attempt == _NAME_ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")


async def _create(collection: Collection, call: Call, obj: Object, managed: list[Object] | None) -> Object:
    strategy, claimed = collection.strategy, obj["metadata"].get("resourceVersion")
    handed = obj["metadata"].get("managedFields")
    metadata.clear_created(obj)
    strategy.take_in(obj)
    if managed is None:
        # Before admission, as upstream: what plug-ins and the strategy fill in is nobody's, and webhooks are shown it.
        said = {field: obj[field] for field in obj if field != "status"} if strategy.has_status else obj
        said = {**said, "metadata": {**obj["metadata"], "managedFields": handed}} if handed else said
        managed = await record_change(call, said, None, collection.clock.now())
    metadata.set_managers(obj, managed)
    review = Review(call, "CREATE", obj)
    await collection.admission.mutate(review)
    metadata.unite_owners(call, obj, metadata.AFTER_ADMISSION)
    # After admission, as upstream: who changes an object sees it without uid, and without a name that is generated.
    metadata.fill_created(collection.resource, obj, collection.clock.now(), strategy.unnamed())
    if strategy.generated:
        obj["metadata"]["generation"] = 1
    strategy.drop_disabled(obj, None)
    strategy.prepare_create(call, obj)
    metadata.set_managers(obj, managed)
    await strategy.authorize(call, obj, None)
    async with strategy.claim(call, obj, None):
        collection.refuse(obj["metadata"]["name"], strategy.validate_create(call, obj))
        strategy.warn(call, obj, None)
        await _permit(call, obj)
        await collection.admission.validate(review)
        if call.dry_run:
            if there := await _there(collection, obj):
                raise _taken(collection, obj, there)
            return obj
        if claimed:  # the store's refusal, as upstream: who may not create it, or has it wrong, has read that instead
            raise status.bad_request("resourceVersion should not be set on objects to be created")
        try:
            return await collection.store.create(obj, strategy.ttl(obj), call.keep)
        except status.ApiError as error:
            if not status.is_already_exists(error):
                raise
            raise _taken(collection, obj, await _there(collection, obj)) from None


async def _there(collection: Collection, obj: Object) -> Object | None:
    meta = obj["metadata"]
    return await collection.store.find(meta.get("namespace") or "", meta["name"])


def _taken(collection: Collection, obj: Object, there: Object | None) -> status.ApiError:
    """409 for a name that `there` has, in upstream's words: they tell of one that only waits for its end."""
    meta = obj["metadata"]
    told = status.generate_name_conflict if meta.get("generateName") else status.already_exists
    error = told(collection.resource, meta["name"])
    if there is None or not there["metadata"].get("deletionTimestamp"):
        return error
    return status.ApiError(error.code, error.reason, f"object is being deleted: {error.message}", error.details)


async def _permit(call: Call, obj: Object) -> None:
    """Raises ApiError 403 when a PUT or an apply would create what the user may change, but not create. The request
    itself was allowed as an update; told after validation, as upstream (withAuthorization)."""
    if call.verb == "create":
        return
    wanted = Attributes(
        call.user,
        "create",
        call.resource.group,
        call.resource.version,
        call.resource.plural,
        call.subresource,
        call.namespace,
        obj["metadata"]["name"],
    )
    decision, reason = await call.authorize(wanted)
    if decision is not Decision.ALLOW:
        raise refusal(wanted, reason)
