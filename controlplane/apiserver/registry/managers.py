"""Who set which field by create, update and patch (KEP-555): what metadata.managedFields says besides the appliers.

A writer owns what it changes, and takes it from whoever had it; what is removed is nobody's. The time of an entry is
that of its writer's last change, also of what it had already; what is only removed changes no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apimachinery.meta import status, times
from controlplane.apiserver.registry import field_sets
from controlplane.apiserver.registry.applying import in_order
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.kinds import apply_meta
from controlplane.apiserver.registry.versions import Changes, as_seen, changes_elsewhere, changes_seen

Object = dict[str, Any]

MAX_UPDATERS = 10
"""Entries of the operation Update; the oldest beyond them become one (upstream's DefaultMaxUpdateManagers)."""
_ANCIENT = "ancient-changes"
_UNKNOWN = "unknown"


async def record_change(call: Call, new: Object, old: Object | None, now: datetime) -> list[Object]:
    """The managedFields of `new`, which replaces `old` (None: is created). Both are of the same version, stored or the
    call's; what is recorded is of the call's version.

    A client may put other entries into `new` (as kubectl does to take over what it applied client-side); those that
    are not entries at all count as none. Nothing is recorded when a webhook does not convert, as upstream.
    """
    said = new["metadata"].get("managedFields") or []
    held = (old["metadata"].get("managedFields") or []) if old is not None else []
    if old is not None and not call.subresource and (said == [{}] or new["metadata"].get("managedFields") == []):
        return []  # the ways to start afresh
    believed = bool(said) and not (old is not None and call.subresource) and all(map(_is_entry, said))
    try:
        if old is None and not believed:
            return await _of_new(call, new, now)
        entries = said if believed else held
        # Whose writes are not recorded, those are recorded from its first apply on. Who makes an object that brings
        # entries along owns all that is there; what else they say is believed.
        return await _of_change(call, entries, old, new, now) if entries else []
    except status.ApiError:
        return []


async def _of_new(call: Call, new: Object, now: datetime) -> list[Object]:
    fields = field_sets.wire_of(await as_seen(new, call.resource), apply_meta(call.resource))
    return [_new_entry(_writer(call), fields, times.rfc3339(now))] if fields else []


async def _of_change(call: Call, entries: list[Object], old: Object | None, new: Object, now: datetime) -> list[Object]:
    mine = await changes_seen(old, new, call.resource)
    elsewhere = await changes_elsewhere(entries, old, new, call.resource)
    if not any(mine) and all(entry.get("apiVersion") == call.resource.api_version for entry in entries):
        return entries
    return _capped(_after_change(call, entries, mine, elsewhere, times.rfc3339(now)))


def keep_times(new: Object, old: Object) -> None:
    """Put the old times back, in place, when they are all that an update has changed in the end: admission may have
    undone the rest, and then there is nothing to write."""
    entries, before = new["metadata"].get("managedFields") or [], old["metadata"].get("managedFields") or []
    if entries != before and _timeless(entries) == _timeless(before):
        kept = {**new, "metadata": {**new["metadata"], "managedFields": before}}
        if kept == old:
            new["metadata"] = kept["metadata"]


def _timeless(entries: list[Object]) -> list[Object]:
    return [{**entry, "time": None} for entry in entries]


def _after_change(
    call: Call, entries: list[Object], seen: Changes, elsewhere: Mapping[str, Changes], now: str
) -> list[Object]:
    """seen: the change in the call's version; elsewhere: in the others. Entries of versions that are in neither are
    dropped: the kind has them no longer."""
    mine = _writer(call)
    left, owned = [], seen[0]
    for entry in entries:
        of_mine = entry.get("apiVersion") == mine["apiVersion"]
        found = seen if of_mine else elsewhere.get(str(entry.get("apiVersion")))
        if found is None:
            continue
        changed, gone = found
        tree = entry.get("fieldsV1") or {}
        is_mine = of_mine and all(entry.get(key) == mine.get(key) for key in ("manager", "operation", "subresource"))
        had, lost = (field_sets.holds(tree, path) for path in changed), (field_sets.holds(tree, path) for path in gone)
        if not any(lost) and (all(had) if is_mine else not any(had)):
            # The usual case, found out without taking the set apart: the writer had all this, nobody else any of it.
            left.append({**entry, "time": now} if is_mine and changed else entry)
            owned = frozenset() if is_mine else owned
            continue
        fields = field_sets.from_wire(tree)
        if is_mine and changed:
            owned = fields - gone | changed
            continue
        remaining = fields - changed - gone
        if remaining:
            left.append(entry if remaining == fields else {**entry, "fieldsV1": field_sets.to_wire(remaining)})
    if owned:
        left.append(_new_entry(mine, field_sets.to_wire(owned), now))
    return in_order(left)


def _writer(call: Call) -> Object:
    """What of an entry says whose it is."""
    manager, api_version = call.field_manager or _UNKNOWN, call.resource.api_version
    writer: Object = {"manager": manager, "operation": "Update", "apiVersion": api_version}
    if call.subresource:
        writer["subresource"] = call.subresource
    return writer


def _new_entry(writer: Object, fields: Object, now: str) -> Object:
    return {**writer, "time": now, "fieldsType": "FieldsV1", "fieldsV1": fields}


def _capped(entries: list[Object]) -> list[Object]:
    """At most MAX_UPDATERS entries of the operation Update: the oldest that are of one version are put together, until
    there are few enough."""
    updaters = [entry for entry in entries if entry["operation"] == "Update"]
    surplus = len(updaters) - MAX_UPDATERS
    if surplus <= 0:
        return entries
    kept: list[Object] = []
    oldest: dict[str, int] = {}
    for entry in updaters:
        place = oldest.setdefault(str(entry.get("apiVersion")), len(kept))
        if surplus > 0 and place < len(kept):
            kept[place] = _ancient(kept[place], entry)
            surplus -= 1
        else:
            kept.append(entry)
    return in_order([*(entry for entry in entries if entry["operation"] != "Update"), *kept])


def _ancient(older: Object, newer: Object) -> Object:
    fields = [field_sets.from_wire(entry.get("fieldsV1") or {}) for entry in (older, newer)]
    return {
        "manager": _ANCIENT,
        "operation": "Update",
        "apiVersion": newer.get("apiVersion"),
        "time": newer.get("time"),
        "fieldsType": "FieldsV1",
        "fieldsV1": field_sets.to_wire(fields[0] | fields[1]),
    }


def _is_entry(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("operation") in ("Apply", "Update")
        and entry.get("fieldsType") == "FieldsV1"
        and isinstance(entry.get("fieldsV1"), Mapping)
        and bool(entry.get("apiVersion"))
        and field_sets.is_well_formed(entry["fieldsV1"])
    )
