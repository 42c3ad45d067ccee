"""The verbs delete and deletecollection: preconditions, grace, finalizers, propagation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from msgspec import Struct

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
_WHOLE = ListOptions()


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
        _check_preconditions(collection, current, options)
        collection.strategy.check_delete(call, current)
        review = Review(call, "DELETE", None, current, options.document())
        await collection.admission.mutate(review)
        await collection.admission.validate(review)
        marked = _mark(collection, current, options)
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
    collection: Collection, call: Call, options: DeleteOptions, selection: Selection, listing: ListOptions = _WHOLE
) -> tuple[list[Object], Object]:
    """Delete what a list would show: with a limit, the objects of that page alone. Those that vanish meanwhile do not
    matter. The objects as they were before, and the ListMeta. Raises ApiError, also as list_page."""
    selected, about = await _selected(collection, call.namespace, selection, listing)
    for obj in selected:
        meta = obj["metadata"]
        here = Call(
            call.user, call.resource, "delete", meta.get("namespace") or "", meta["name"], call.authorize,
            query=call.query, user_agent=call.user_agent, dry_run=call.dry_run, warnings=call.warnings,
            annotations=call.annotations,
        )  # fmt: skip
        try:
            await delete_object(collection, here, meta["name"], options)
        except status.ApiError as error:
            if not status.is_not_found(error):
                raise
    return await converted_all(selected, call.resource), about


async def _selected(
    collection: Collection, namespace: str, selection: Selection, listing: ListOptions
) -> tuple[list[Object], Object]:
    named = bool(listing.limit or listing.continue_) or listing.revision is not None
    if named or selection.made is not None:
        listed = await list_page(collection, namespace, selection, listing)
        return [orjson.loads(entry.served) for entry in listed.page.entries], listed.metadata()
    # Not the watch cache, which a kind that is only ever cleared away would get by it.
    objects, revision = await collection.store.all_at(namespace)
    chosen = [
        obj
        for obj in objects
        if selection.matches((obj["metadata"].get("labels") or {}, collection.strategy.fields(obj)))
    ]
    return chosen, {"resourceVersion": str(revision)}


async def take_away(collection: Collection, current: Object, last: Object) -> Object:
    """Remove the object from the store; `last` is what it looked like at the end."""
    removed = await collection.store.remove(current)
    await collection.strategy.released(current)
    return {**last, "metadata": {**last["metadata"], "resourceVersion": removed["metadata"]["resourceVersion"]}}


def is_finished(strategy: Strategy, obj: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    meta = obj["metadata"]
    return bool(meta.get("deletionTimestamp")) and not meta.get("deletionGracePeriodSeconds") and not strategy.held(obj)


def _check_preconditions(collection: Collection, current: Object, options: DeleteOptions) -> None:
    meta = current["metadata"]
    for word, asked, have in (
        ("UID", options.uid, meta.get("uid")),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    ):
        if asked and asked != have:
            raise status.conflict(
                collection.resource,
                meta["name"],
                f"the {word} in the precondition ({asked}) does not match the {word} in record ({have}). "
                "The object might have been deleted and then recreated",
            )


def _finalizers(present: list[str], options: DeleteOptions, *, orphans: bool) -> list[str]:
    """What keeps the object: what is asked for counts, then what it has, then the kind's habit."""
    others = [each for each in present if each not in (ORPHAN, FOREGROUND)]
    policy = options.propagation or {True: "Orphan", False: "Background", None: ""}[options.orphan]
    if not policy:
        return [*present, ORPHAN] if orphans and others == present else list(present)
    return others + {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])


def _mark(collection: Collection, current: Object, options: DeleteOptions) -> Object | None:
    """The object as it waits for its end (the current one when nothing changes), or None to remove it now."""
    strategy, meta = collection.strategy, dict(current["metadata"])
    finalizers = _finalizers(meta.get("finalizers") or [], options, orphans=strategy.orphans)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    marked = {**current, "metadata": meta}
    grace = strategy.grace(current, options.grace)
    now = collection.clock.now()
    if grace:
        if meta.get("deletionTimestamp"):
            left = meta.get("deletionGracePeriodSeconds") or 0
            if grace >= left:
                return marked
            # A shorter wish shortens what was granted, counted from the first one.
            begun = times.parse(meta["deletionTimestamp"]) - timedelta(seconds=left)
            meta["deletionTimestamp"] = times.rfc3339(begun + timedelta(seconds=grace))
        else:
            meta["deletionTimestamp"] = times.rfc3339(now + timedelta(seconds=grace))
            if meta.get("generation"):
                meta["generation"] += 1
        meta["deletionGracePeriodSeconds"] = grace
        return strategy.ending(marked)
    if not strategy.held(marked):
        return None
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = times.rfc3339(now)
        if meta.get("generation"):
            meta["generation"] += 1
    meta["deletionGracePeriodSeconds"] = 0
    return strategy.ending(marked)
