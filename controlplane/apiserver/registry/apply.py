"""The verb patch with an applied configuration: server-side apply (KEP-555).

What becomes of the object and of who owns what is decided in `applying.py` (in `applying_across.py` where there are
several versions); what other verbs write is recorded by `managers.py`.
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status, times
from apimachinery.meta.numbers import with_whole_numbers
from apimachinery.meta.objects import copied
from apimachinery.meta.patches import is_directive
from controlplane.apiserver.registry import field_sets, metadata
from controlplane.apiserver.registry.applying import Applier
from controlplane.apiserver.registry.applying_across import plan_apply_across
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.create import create_object
from controlplane.apiserver.registry.kinds import DefinedResource, apply_meta
from controlplane.apiserver.registry.options import boolean
from controlplane.apiserver.registry.typed_config import find_ambiguities
from controlplane.apiserver.registry.update import change_object

Object = dict[str, Any]

_OF_STATUS = ("apiVersion", "kind", "metadata", "status")


async def apply(collection: Collection, call: Call, document: Any) -> tuple[Object, bool]:
    """The object as stored, and whether it was created. Raises ApiError 400, 409 (other managers' fields), 422."""
    config = _taken(collection, call, _config(call, with_whole_numbers(document)))
    if call.doubled and call.field_validation == "Strict":
        why = f"error converting YAML to JSON: {', '.join(call.doubled)}"
        raise status.bad_request(f"error strict decoding YAML: {why}")
    while True:
        try:
            written = await change_object(collection, call, call.name, _change(collection, call, config), managed=True)
            return await converted(written, call.resource), False
        except status.ApiError as error:
            if not status.is_not_found(error) or call.subresource:
                raise
        try:
            return await converted(await _create(collection, call, config), call.resource), True
        except status.ApiError as error:
            # Somebody else was quicker; then it is a change of what they made.
            if not status.is_already_exists(error):
                raise


async def _create(collection: Collection, call: Call, config: Object) -> Object:
    if uid := config["metadata"].get("uid"):
        # Who applies a certain object does not want another of its name.
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise status.conflict(call.resource, call.name, why)
    new = read(call, copied(config), *call.resource.gvk)
    metadata.place(call, new)
    new["metadata"].pop("resourceVersion", None)  # of what is gone: nobody minds, as upstream
    wanted = field_sets.fields_of(config, apply_meta(call.resource))
    entries = [_applier(collection, call).entry(wanted)] if wanted else []
    return await create_object(collection, call, await converted(new, collection.resource), managed=entries)


def _applier(collection: Collection, call: Call) -> Applier:
    return Applier(
        call.query["fieldManager"],
        call.resource.api_version,
        call.subresource,
        times.rfc3339(collection.clock.now()),
        boolean(call.query.get("force", "false")),
    )


def _taken(collection: Collection, call: Call, config: Object) -> Object:
    """The configuration without what is not taken by this way, which nobody comes to own (GetResetFields)."""
    if call.subresource == "status":
        meta = {key: value for key, value in config["metadata"].items() if key not in ("labels", "ownerReferences")}
        return {key: value for key, value in {**config, "metadata": meta}.items() if key in _OF_STATUS}
    if collection.strategy.has_status:
        return {key: value for key, value in config.items() if key != "status"}
    return config


def _config(call: Call, document: Any) -> Object:
    if not isinstance(document, dict) or not isinstance(document.get("metadata") or {}, dict):
        raise status.bad_request("the body of an apply patch must be an object")
    version, kind = document.get("apiVersion") or "", document.get("kind") or ""
    if (version, kind) != (call.resource.api_version, call.resource.kind):
        where = version if isinstance(version, str) and "/" in version else f"/{version}"
        raise status.bad_request(f"invalid object type: {where}, Kind={kind}")
    document["metadata"] = meta = dict(document.get("metadata") or {})
    if meta.get("managedFields") is not None:
        raise status.bad_request("metadata.managedFields must be nil")
    if ambiguity := _first_ambiguity(call, document):
        raise status.bad_request(
            f"failed to create typed patch object ({call.namespace}/{meta.get('name') or call.name}; "
            f"{version}, Kind={kind}): {ambiguity}"
        )
    for field in ("creationTimestamp", "managedFields"):
        meta.pop(field, None)
    return document


def _first_ambiguity(call: Call, document: Object) -> str:
    """What an applied configuration must not hold; "" when it holds none of it. Upstream answers 500; it is the
    client's doing, so 400."""
    if directive := _directive(document, ""):
        # Not the strategic merge patch's: an applied configuration is an object, and objects have no such fields.
        return f"{directive}: field not declared in schema"
    found = list(find_ambiguities(document, apply_meta(call.resource)))
    # Whatever fieldValidation says: what has no type cannot be merged.
    found = found or [f".{path}: field not declared in schema" for path in _unknown(call, document)]
    return "errors:\n" + "\n".join(f"  {each}" for each in found) if len(found) > 1 else "".join(found)


def _unknown(call: Call, document: Object) -> list[str]:
    """The paths of the fields that the kind has not."""
    if isinstance(call.resource, DefinedResource):
        where = f"failed to create typed patch object ({call.namespace}/{call.name}): "
        return call.resource.rules.drop_unknown(copied(document), where)
    return SCHEMA.unknown_fields(call.resource.gvk, document)


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


def _change(collection: Collection, call: Call, config: Object) -> Any:
    async def change(current: Object) -> Object:
        live = await converted(current, call.resource)
        merged, entries = await plan_apply_across(live, config, call.resource, _applier(collection, call))
        if merged is live:
            return current
        metadata.place(call, merged)
        new = await converted(read(call, copied(merged), *call.resource.gvk), collection.resource)
        metadata.check_patched(collection.resource, new, current)
        metadata.set_managers(new, entries)
        return new

    return change
