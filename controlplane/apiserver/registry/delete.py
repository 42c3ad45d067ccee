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
from controlplane.apiserver.registry.options import ListOptions, boolean, whole_number
from controlplane.apiserver.registry.race import Raced, begin_change
from controlplane.apiserver.registry.read import list_page
from controlplane.apiserver.registry.selection import Selection
from controlplane.apiserver.registry.store import MAX_ATTEMPTS
from controlplane.apiserver.strategies.base import Strategy

Object = dict[str, Any]

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan")
_WHOLE = ListOptions()


class DeleteOptions(Struct, frozen=True):
    """What a deletion asks for; empty means the kind's default. uid, resource_version: None where they do not matter
    ("" is another one than any object's)."""

    grace: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str = ""
    orphan: bool | None = None

    def document(self) -> Object:
        """The DeleteOptions that admission is told."""
        preconditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        preconditions = {field: value for field, value in preconditions.items() if value is not None}
        found = {
            "gracePeriodSeconds": self.grace,
            "preconditions": preconditions or None,
            "propagationPolicy": self.propagation or None,
            "orphanDependents": self.orphan,
        }
        return {field: value for field, value in found.items() if value is not None}


def delete_options(document: Mapping[str, Any] | None, query: Mapping[str, str]) -> DeleteOptions:
    """The options in a body (decoded DeleteOptions), or those of the query where there is none (None): a body is all
    that counts, whatever it leaves out. Raises ApiError 400, 422."""
    if document is None:
        document = {}
    else:
        query = {}
    grace = document.get("gracePeriodSeconds")
    if grace is None and "gracePeriodSeconds" in query:
        grace = whole_number(query["gracePeriodSeconds"])
    policy = document.get("propagationPolicy", query.get("propagationPolicy"))
    orphan = document.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = boolean(query["orphanDependents"])
    if problems := _option_problems(policy, orphan):
        raise status.invalid("DeleteOptions.meta.k8s.io", "", problems)
    if grace is not None and grace < 0:
        # Upstream takes a negative grace for one second, the least that is still graceful.
        grace = 1
    preconditions = document.get("preconditions") or {}
    uid = preconditions.get("uid", query.get("uid"))
    return DeleteOptions(grace, uid, preconditions.get("resourceVersion"), policy or "", orphan)


def _option_problems(policy: str | None, orphan: bool | None) -> list[Problem]:
    """ValidateDeleteOptions; None is what nobody has said."""
    path, problems = Path("propagationPolicy"), []
    if policy is not None and orphan is not None:
        problems.append(invalid(path, policy, "orphanDependents and deletionPropagation cannot be both set"))
    if policy is not None and policy not in _POLICIES:
        problems.append(not_supported(path, policy, [*_POLICIES, "nil"]))
    return problems


async def delete(collection: Collection, call: Call, options: DeleteOptions) -> tuple[Object, bool]:
    """The answer to a deletion: the object while it is still there, a Status once it is gone; and whether it is.

    Raises ApiError 403, 404, 409.
    """
    obj, gone = await delete_object(collection, call, call.name, options)
    if not gone or collection.strategy.returns_deleted:
        return await converted(obj, call.resource), gone
    details = {
        "name": call.name,
        "group": collection.resource.group,
        "kind": collection.resource.plural,
        "uid": obj["metadata"].get("uid"),
    }
    answer = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
    return answer, gone


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
            if status.is_conflict(error) and options.resource_version is None:
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


_MODIFIED = "The object might have been modified"
_ANEW = "The object might have been deleted and then recreated"


def check_preconditions(resource: Resource, current: Object, options: DeleteOptions) -> None:
    """Raises ApiError 409 for another object or version than the options name."""
    meta = current["metadata"]
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind  # upstream's words: not the plural
    for word, asked, have, why in (
        ("UID", options.uid, meta.get("uid"), _ANEW),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"], _MODIFIED),
    ):
        if asked is not None and asked != have:
            sentence = f"the {word} in the precondition ({asked}) does not match the {word} in record ({have}). {why}"
            raise status.conflict(kind, meta["name"], sentence)


def _finalizers(present: list[str], options: DeleteOptions, strategy: Strategy) -> list[str]:
    """What keeps the object: what is asked for counts, then what it has, then the kind's habit."""
    others = [each for each in present if each not in (ORPHAN, FOREGROUND)]
    if not strategy.owns:
        return others
    policy = options.propagation or {True: "Orphan", False: "Background", None: ""}[options.orphan]
    if not policy:
        return [*present, ORPHAN] if strategy.orphans and others == present else list(present)
    return others + {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])


def mark(strategy: Strategy, current: Object, options: DeleteOptions, now: datetime) -> Object | None:
    """The object as it waits for its end (the current one when nothing changes), or None to remove it now."""
    meta = dict(current["metadata"])
    grace, left = strategy.grace(current, options.grace), meta.get("deletionGracePeriodSeconds") or 0
    if meta.get("deletionTimestamp") and grace is not None:
        # Who waits may only be made to wait less, by somebody who says how long; finalizers stay as they are.
        grace = options.grace if left else None
        if left and (grace is None or grace >= left):
            return current
    _set_finalizers(meta, _finalizers(meta.get("finalizers") or [], options, strategy))
    marked = {**current, "metadata": meta}
    if not grace and not strategy.held(marked):
        return None
    _set_end(meta, now, grace, left)
    return strategy.ending(marked)


def _set_finalizers(meta: Object, finalizers: list[str]) -> None:
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _set_end(meta: Object, now: datetime, grace: int | None, left: int) -> None:
    """When it ends: so many seconds of grace after the deletion began, which was `left` seconds before the time that is
    there already; without grace now, or at an earlier time that is there."""
    before = meta.get("deletionTimestamp")
    if before is None:
        when = now + _lasting(grace or 0)
        if meta.get("generation"):
            meta["generation"] += 1
    elif grace is None:
        when = min(times.parse(before), now)
    else:
        when = times.parse(before) - _lasting(left - grace)
    meta["deletionTimestamp"] = times.rfc3339(when)
    meta["deletionGracePeriodSeconds"] = grace or 0


def _lasting(seconds: int) -> timedelta:
    """So many seconds as upstream adds them to a time: nanoseconds of 64 bits, which wrap after 292 years."""
    nanoseconds = (seconds * 10**9 + (1 << 63)) % (1 << 64) - (1 << 63)
    return timedelta(microseconds=nanoseconds // 1000)
