"""Server-side apply, the part of it that concerns appliers (KEP-555): each field an applier sets is its own.

What is here: creation, merging by the schema's merge keys, removal of fields that an applier no longer sets, conflicts
between managers, force. What other verbs write is recorded by `managers.py`.
"""

from __future__ import annotations

from typing import Any

from apimachinery.meta import status, times
from apimachinery.meta.objects import copied
from apimachinery.meta.patches import is_directive
from apimachinery.meta.paths import Path, required
from controlplane.apiserver.registry import field_sets, metadata
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.create import create_object
from controlplane.apiserver.registry.field_sets import Fields
from controlplane.apiserver.registry.kinds import patch_meta
from controlplane.apiserver.registry.merging import merge
from controlplane.apiserver.registry.update import change_object

Object = dict[str, Any]

_FORCE = ("1", "t", "T", "true", "TRUE", "True")


async def apply(collection: Collection, call: Call, document: Any) -> tuple[Object, bool]:
    """The object as stored, and whether it was created. Raises ApiError 400, 409 (other managers' fields), 422."""
    if not call.query.get("fieldManager"):
        problem = required(Path("fieldManager"), "is required for apply patch")
        raise status.invalid("PatchOptions.meta.k8s.io", "", [problem])
    config = _config(call, document)
    wanted = field_sets.fields_of(config, patch_meta(call.resource))
    try:
        change = _change(collection, call, config, wanted)
        written = await change_object(collection, call, call.name, change, managed=True)
        return await converted(written, call.resource), False
    except status.ApiError as error:
        if not status.is_not_found(error) or call.subresource:
            raise
    new = read(call, copied(config), *call.resource.gvk)
    metadata.place(call, new)
    entries = [_entry(collection, call, wanted)]
    created = await create_object(collection, call, await converted(new, collection.resource), managed=entries)
    return await converted(created, call.resource), True


def _config(call: Call, document: Any) -> Object:
    if not isinstance(document, dict) or not isinstance(document.get("metadata") or {}, dict):
        raise status.bad_request("the body of an apply patch must be an object")
    if (document.get("apiVersion"), document.get("kind")) != (call.resource.api_version, call.resource.kind):
        raise status.bad_request(
            f"the object given is {document.get('apiVersion')!r}, Kind={document.get('kind')}, "
            f"not {call.resource.api_version}, Kind={call.resource.kind}"
        )
    if directive := _directive(document, ""):
        # Not the strategic merge patch's: an applied configuration is an object, and objects have no such fields.
        raise status.bad_request(
            f"failed to create typed patch object ({call.namespace}/{call.name}; {call.resource.api_version}, "
            f"Kind={call.resource.kind}): {directive}: field not declared in schema"
        )
    meta = document["metadata"] = dict(document.get("metadata") or {})
    if meta.get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    for field in ("creationTimestamp", "managedFields"):
        meta.pop(field, None)
    meta.setdefault("name", call.name)
    return document


def _directive(node: Any, path: str) -> str:
    """Where the configuration holds a directive of strategic merge patch; "" when nowhere."""
    if isinstance(node, dict):
        for key, below in node.items():
            here = f"{path}.{key}"
            if is_directive(key):
                return here
            if found := _directive(below, here):
                return found
    elif isinstance(node, list):
        for position, below in enumerate(node):
            if found := _directive(below, f"{path}[{position}]"):
                return found
    return ""


def _change(collection: Collection, call: Call, config: Object, wanted: Fields) -> Any:
    async def change(current: Object) -> Object:
        live = await converted(current, call.resource)
        entries: list[Object] = live["metadata"].get("managedFields") or []
        mine = [entry for entry in entries if _is_mine(call, entry)]
        others = [entry for entry in entries if not _is_mine(call, entry)]
        others = _without_conflicts(call, live, config, wanted, others)
        kept = {path for entry in others for path in field_sets.from_wire(entry.get("fieldsV1") or {})}
        before = {path for entry in mine for path in field_sets.from_wire(entry.get("fieldsV1") or {})}
        merged = merge(live, config, patch_meta(call.resource))
        # An item first: once its keys are gone it cannot be found.
        for path in sorted(before - wanted - kept, key=lambda path: (path[-1] != ".", -len(path))):
            field_sets.remove(merged, path)
        metadata.place(call, merged)
        new = await converted(read(call, merged, *call.resource.gvk), collection.resource)
        metadata.check_version(collection.resource, new, current, unconditional=True)
        if mine and before == wanted and field_sets.from_wire(mine[0].get("fieldsV1") or {}) == wanted:
            entry = mine[0]  # the time tells of the last change of the set, not of the last request
        else:
            entry = _entry(collection, call, wanted)
        new["metadata"]["managedFields"] = [*others, entry]
        return new

    return change


def _without_conflicts(call: Call, live: Object, config: Object, wanted: Fields, others: list[Object]) -> list[Object]:
    """The other managers' entries, less what is taken from them by force. Raises ApiError 409 without force."""
    clashes: dict[str, list[str]] = {}
    left = []
    for entry in others:
        held = field_sets.from_wire(entry.get("fieldsV1") or {})
        clash = sorted(
            path
            for path in held & wanted
            if path[-1] != "." and field_sets.value_at(live, path) != field_sets.value_at(config, path)
        )
        if clash:
            clashes.setdefault(_named(entry), []).extend(field_sets.spell(path) for path in clash)
        remaining = held - set(clash)
        if remaining:
            left.append({**entry, "fieldsV1": field_sets.to_wire(remaining)} if clash else entry)
    if clashes and call.query.get("force") not in _FORCE:
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": field}
            for manager, fields in sorted(clashes.items())
            for field in fields
        ]
        if len(causes) == 1:
            raise status.apply_conflict(
                causes, f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
            )
        lines = ["\n- ".join([f"conflicts with {manager}:", *fields]) for manager, fields in sorted(clashes.items())]
        raise status.apply_conflict(causes, f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines))
    return left


def _named(entry: Object) -> str:
    """A manager as conflicts name it; an applier is the same one in every version."""
    text = f'"{entry.get("manager")}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    return text if entry.get("operation") == "Apply" else f"{text} using {entry.get('apiVersion')}"


def _is_mine(call: Call, entry: Object) -> bool:
    return (
        entry.get("manager") == call.query.get("fieldManager")
        and entry.get("operation") == "Apply"
        and (entry.get("subresource") or "") == call.subresource
    )


def _entry(collection: Collection, call: Call, wanted: Fields) -> Object:
    entry = {
        "manager": call.query["fieldManager"],
        "operation": "Apply",
        "apiVersion": call.resource.api_version,
        "time": times.rfc3339(collection.clock.now()),
        "fieldsType": "FieldsV1",
        "fieldsV1": field_sets.to_wire(wanted),
    }
    return {**entry, "subresource": call.subresource} if call.subresource else entry
