"""Adoption and release: a controller owns exactly the objects that its selector matches and nobody else owns.

(kubernetes pkg/controller/controller_ref_manager.go)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.cache.lister import Lister
from apimachinery.client.rest import Client
from apimachinery.controller.owners import controller_of, owner_reference
from apimachinery.meta import objects
from apimachinery.meta.labels import Selector
from apimachinery.meta.status import ApiError, is_invalid, is_not_found

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """owned: ours already. adopt: matching orphans. release: ours, but no longer matching."""

    owned: list[Object]
    adopt: list[Object]
    release: list[Object]


def plan_claim(owner: Object, selector: Selector, candidates: Iterable[Object]) -> Claim:
    """Sort the candidates, which are those of the owner's namespace. A deleting owner adopts and releases nothing."""
    claim = Claim([], [], [])
    for candidate in candidates:
        reference = controller_of(candidate)
        matches = selector.matches(objects.labels(candidate))
        if reference is not None:
            if reference["uid"] != objects.uid(owner):
                continue
            if matches:
                claim.owned.append(candidate)
            elif not objects.is_deleting(owner):
                claim.release.append(candidate)
        elif matches and not objects.is_deleting(owner) and not objects.is_deleting(candidate):
            claim.adopt.append(candidate)
    return claim


def is_offered(old: Object, new: Object) -> bool:
    """Whether a change makes an object one that somebody may adopt: nobody controls it now, and somebody did or its
    labels were others."""
    return controller_of(new) is None and (controller_of(old) is not None or objects.labels(old) != objects.labels(new))


def adopters(owners: Lister, orphan: Object, selector_of: Callable[[Object], Selector]) -> list[Object]:
    """Who of the orphan's namespace would adopt it."""
    own = objects.labels(orphan)
    return [owner for owner in owners.list(objects.namespace(orphan)) if selector_of(owner).matches(own)]


async def apply_claim(
    client: Client, owner: Object, owner_resource: Resource, resource: Resource, claim: Claim, finalizer: str = ""
) -> list[Object]:
    """Adopt and release; returns the objects that are ours now. finalizer: what is ours has, and what is not has not.

    Raises ApiError of a patch that failed for another reason than that the object is gone.
    """
    owned = list(claim.owned)
    if claim.adopt:
        await _check_still_there(client, owner, owner_resource)
        adopting = (_adopt(client, owner, owner_resource, resource, obj, finalizer) for obj in claim.adopt)
        adopted = await asyncio.gather(*adopting)
        owned += [obj for obj in adopted if obj is not None]
    await asyncio.gather(*(_release(client, owner, resource, obj, finalizer) for obj in claim.release))
    return owned


async def _check_still_there(client: Client, owner: Object, resource: Resource) -> None:
    """The lister may be behind: adopting for an owner that is gone would hand the object to the garbage collector."""
    live = await client.get(resource, objects.name(owner), objects.namespace(owner) or None)
    if objects.uid(live) != objects.uid(owner) or objects.is_deleting(live):
        name = objects.name(owner)
        raise ApiError(409, "Conflict", f"{resource.singular} {name!r} is gone or being deleted, cannot adopt")


async def _adopt(
    client: Client, owner: Object, owner_resource: Resource, resource: Resource, obj: Object, finalizer: str
) -> Object | None:
    reference = owner_reference(owner, owner_resource)
    body: Object = {"metadata": {"ownerReferences": [reference], "uid": objects.uid(obj)}}
    finalizers = [*(obj["metadata"].get("finalizers") or ())]
    if finalizer and finalizer not in finalizers:
        finalizers.append(finalizer)
        body["metadata"]["finalizers"] = [finalizer]
    try:
        await client.patch(resource, objects.name(obj), body, objects.namespace(obj), kind="strategic")
    except ApiError as error:
        if is_not_found(error):
            return None
        raise
    references = [*(obj["metadata"].get("ownerReferences") or ()), reference]
    metadata = {**obj["metadata"], "ownerReferences": references}
    return {**obj, "metadata": {**metadata, "finalizers": finalizers} if finalizers else metadata}


async def _release(client: Client, owner: Object, resource: Resource, obj: Object, finalizer: str) -> None:
    reference = {"$patch": "delete", "uid": objects.uid(owner)}
    body: Object = {"metadata": {"ownerReferences": [reference], "uid": objects.uid(obj)}}
    if finalizer in (obj["metadata"].get("finalizers") or ()):
        body["metadata"]["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    try:
        await client.patch(resource, objects.name(obj), body, objects.namespace(obj), kind="strategic")
    except ApiError as error:
        # Gone, or made anew under the same name: either way it is not ours any more.
        if not is_not_found(error) and not is_invalid(error):
            raise
