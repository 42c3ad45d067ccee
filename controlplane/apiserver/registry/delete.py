"""The verbs delete and deletecollection: preconditions, grace, finalizers, propagation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status, times
from apimachinery.meta.paths import Path, Problem, invalid, not_supported
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted, converted_all
from controlplane.apiserver.registry.options import ListOptions
from controlplane.apiserver.registry.race import Raced, begin_change
from controlplane.apiserver.registry.read import list_page
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import MAX_ATTEMPTS
from controlplane.apiserver.strategies.base import Strategy

Object = dict[str, Any]

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Background", "Foreground", "Orphan")


class DeleteOptions(Struct, frozen=True):
    """What a deletion asks for; empty means the kind's default."""

    grace: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    orphan: bool | None = None

    def document(self) -> Object:
        """The DeleteOptions that admission is told."""
        preconditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        preconditions = {field: value for field, value in preconditions.items() if value}
        found = {
            "gracePeriodSeconds": self.grace,
            "preconditions": preconditions or None,
            "propagationPolicy": self.propagation or None,
            "orphanDependents": self.orphan,
        }
        return {field: value for field, value in found.items() if value is not None}


def delete_options(document: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """The options in a body (decoded DeleteOptions) or, when that says nothing, in the query. Raises ApiError 422."""
    problems: list[Problem] = []
    grace = document.get("gracePeriodSeconds")
    if grace is None and "gracePeriodSeconds" in query:
        text = query["gracePeriodSeconds"]
        if not text.removeprefix("-").isdecimal() or len(text) > 10:
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        grace = int(text)
    policy = document.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = document.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = query["orphanDependents"] in ("1", "t", "T", "true", "TRUE", "True")
    if policy and orphan is not None:
        problems.append(
            invalid(Path("propagationPolicy"), policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    elif policy and policy not in _POLICIES:
        problems.append(not_supported(Path("propagationPolicy"), policy, [*_POLICIES, "nil"]))
    if grace is not None and grace < 0:
        # Upstream takes a negative grace for one second, the least that is still graceful.
        grace = 1
    if problems:
        raise status.invalid("DeleteOptions.meta.k8s.io", "", problems)
    preconditions = document.get("preconditions") or {}
    return DeleteOptions(
        grace, preconditions.get("uid") or "", preconditions.get("resourceVersion") or "", policy, orphan
    )


async def delete(collection: Collection, call: Call, options: DeleteOptions) -> Object:
    """The answer to a deletion: the object while it is still there, a Status once it is gone.

    Raises ApiError 403, 404, 409.
    """
    obj, gone = await delete_object(collection, call, call.name, options)
    if not gone or collection.strategy.returns_deleted:
        return await converted(obj, call.resource)
    details = {
        "name": call.name,
        "group": collection.resource.group,
        "kind": collection.resource.plural,
        "uid": obj["metadata"].get("uid"),
    }
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


async def delete_object(collection: Collection, call: Call, name: str, options: DeleteOptions) -> tuple[Object, bool]:
    """The object, and whether it is gone from the store (False: it ends later)."""

    async def attempt(current: Object) -> tuple[Object, bool]:
        check_preconditions(collection.resource, current, options)
        collection.strategy.check_delete(call, current)
        review = Review(call, "DELETE", None, current, options.document())
        await collection.admission.mutate(review)
        await collection.admission.validate(review)
        marked = mark(collection.strategy, current, options, collection.clock.now())
        try:
            if marked is None:
                if call.dry_run:
                    return current, True
                return await take_away(collection, current, current), True
            if call.dry_run or marked == current:
                return marked, False
            return await collection.store.replace(marked, current, collection.strategy.ttl(marked)), False
        except status.ApiError as error:
            if status.is_conflict(error) and not options.resource_version:
                raise Raced(error) from None
            raise

    return await begin_change(collection, call, name, attempt, MAX_ATTEMPTS)


async def delete_collection(
    collection: Collection, call: Call, options: DeleteOptions, selection: Selection
) -> list[Object]:
    """Delete every object that is selected; those that vanish meanwhile do not matter. The objects deleted."""
    deleted = []
    for obj in await _selected(collection, call.namespace, selection):
        meta = obj["metadata"]
        here = Call(
            call.user, call.resource, "delete", meta.get("namespace") or "", meta["name"], call.authorize,
            query=call.query, user_agent=call.user_agent, dry_run=call.dry_run, warnings=call.warnings,
            annotations=call.annotations,
        )  # fmt: skip
        try:
            deleted.append((await delete_object(collection, here, meta["name"], options))[0])
        except status.ApiError as error:
            if not status.is_not_found(error):
                raise
    return await converted_all(deleted, call.resource)


async def _selected(collection: Collection, namespace: str, selection: Selection) -> list[Object]:
    if selection.made is not None:
        page = (await list_page(collection, namespace, selection, ListOptions())).page
        return [orjson.loads(entry.served) for entry in page.entries]
    return [
        obj
        for obj in await collection.store.all(namespace)
        if selection.matches((obj["metadata"].get("labels") or {}, collection.strategy.fields(obj)))
    ]


async def take_away(collection: Collection, current: Object, last: Object) -> Object:
    """Remove the object from the store; `last` is what it looked like at the end."""
    removed = await collection.store.remove(current)
    await collection.strategy.released(current)
    return {**last, "metadata": {**last["metadata"], "resourceVersion": removed["metadata"]["resourceVersion"]}}


def is_finished(strategy: Strategy, obj: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    meta = obj["metadata"]
    return bool(meta.get("deletionTimestamp")) and not meta.get("deletionGracePeriodSeconds") and not strategy.held(obj)


def check_preconditions(resource: Resource, current: Object, options: DeleteOptions) -> None:
    """Raises ApiError 409 for another object or version than the options name."""
    meta = current["metadata"]
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind  # upstream's words: not the plural
    for word, asked, have, what in (
        ("UID", options.uid, meta.get("uid"), "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"], "modified"),
    ):
        if asked and asked != have:
            detail = f"the {word} in the precondition ({asked}) does not match the {word} in record ({have}). "
            raise status.conflict(kind, meta["name"], f"{detail}The object might have been {what}")


def _finalizers(present: list[str], options: DeleteOptions, *, orphans: bool) -> list[str]:
    """What keeps the object: what is asked for counts, then what it has, then the kind's habit."""
    others = [each for each in present if each not in (ORPHAN, FOREGROUND)]
    policy = options.propagation or {True: "Orphan", False: "Background", None: ""}[options.orphan]
    if not policy:
        return [*present, ORPHAN] if orphans and others == present else list(present)
    return others + {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])


def mark(strategy: Strategy, current: Object, options: DeleteOptions, now: datetime) -> Object | None:
    """The object as it waits for its end (the current one when nothing changes), or None to remove it now."""
    meta = dict(current["metadata"])
    begun, left = meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds") or 0
    if begun and left:
        if options.grace is None or options.grace >= left:
            return current  # an end that is awaited is only brought forward
        # A shorter wish is counted from the first one.
        grace, ends = options.grace, times.parse(begun) + timedelta(seconds=options.grace - left)
        if ends < now:
            grace, ends = min(grace, 1), now
    elif begun:
        grace, ends = 0, min(times.parse(begun), now)
    else:
        grace = strategy.grace(current, options.grace) or 0
        ends = now + timedelta(seconds=grace)
        if meta.get("generation"):
            meta["generation"] += 1
    meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = times.rfc3339(ends), grace
    finalizers = _finalizers(meta.get("finalizers") or [], options, orphans=strategy.orphans)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    marked = {**current, "metadata": meta}
    return strategy.ending(marked) if grace or strategy.held(marked) else None
