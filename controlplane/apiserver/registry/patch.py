"""The verb patch: JSON (RFC 6902), merge (RFC 7386) and strategic merge patches."""

from __future__ import annotations

import re
from typing import Any

import orjson

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status
from apimachinery.meta.go_print import plain
from apimachinery.meta.numbers import with_whole_numbers
from apimachinery.meta.patches import MAX_OPERATIONS, PatchError, json_patch, merge_patch, strategic_merge_into
from apimachinery.meta.paths import Path, invalid
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.conversion import converted
from controlplane.apiserver.registry.kinds import DefinedResource, patch_meta
from controlplane.apiserver.registry.update import change_object

Object = dict[str, Any]

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
ACCEPTED = (JSON, MERGE, STRATEGIC, APPLY)
_ACCEPTED_BY_DEFINED = (JSON, MERGE, APPLY)

_OPERATION = ("op", "path", "from", "value")

_ATTEMPTS = 5  # upstream's MaxRetryWhenPatchConflicts


def accepted(resource: Resource) -> tuple[str, ...]:
    """The media types of patches that a kind takes: strategic merge needs a type in Go."""
    return _ACCEPTED_BY_DEFINED if isinstance(resource, DefinedResource) else ACCEPTED


def look_at_operations(call: Call, document: Any) -> None:
    """Fields of a JSON patch's operations that no operation has are told as doubled keys are, each in upstream's words:
    a typing error in `value` would set null."""
    if call.collected is None or not isinstance(document, list):
        return
    unknown = [
        f'unknown field "[{position}].{key}"'
        for position, operation in enumerate(document)
        if isinstance(operation, dict)
        for key in operation
        if key not in _OPERATION
    ]
    call.doubled[:] = [f"json patch {sentence}" for sentence in (*unknown, *call.doubled)]


def patched(call: Call, current: Object, document: Any, media: str) -> Object:
    """`current` (in the version of the call; it is used up) with the patch applied, not checked yet.

    Raises ApiError 400, 422."""
    try:
        if media == JSON:
            if not isinstance(document, list):
                raise status.bad_request(_not_a_patch(document, media, "[]handlers.jsonPatchOp"))
            for each in document:
                if not isinstance(each, dict):
                    raise status.bad_request(_not_a_patch(each, media, "handlers.jsonPatchOp"))
            if len(document) > MAX_OPERATIONS:
                most = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(document)}"
                raise status.request_entity_too_large(most)
            result = json_patch(current, document)
        elif not isinstance(document, dict):
            raise status.bad_request(_not_a_patch(document, media, "map[string]interface {}"))
        elif media == MERGE:
            result = merge_patch(current, document)
        else:
            document = with_whole_numbers(document)
            kind = {key: current[key] for key in ("apiVersion", "kind")}
            result = strategic_merge_into(current, document, patch_meta(call.resource))
            result.update(kind)  # Go reads the outcome into a type that is given, whatever the patch says it is
    except PatchError as error:
        if error.unforeseen:
            # kubectl shows what it shows elsewhere. The code there is 500, but it is the client's mistake.
            raise status.ApiError(400, "", str(error)) from None
        raise status.bad_request(str(error)) if error.malformed else status.unprocessable(str(error)) from None
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise status.unprocessable("the patch does not leave an object behind")
    return result


def read_patched(call: Call, result: Object, document: Any, media: str, gvk: tuple[str, str, str]) -> Object:
    """The outcome of the patch `document` as an object of its kind. Raises ApiError 422 for what cannot be one, as
    upstream: with the patch, where fields are set one by one (strategic merge), else with the whole outcome."""
    try:
        return read(call, result, *gvk)
    except status.Undecodable as error:
        if media == STRATEGIC:
            shown, why = plain(document), _WRONG.sub(_not_converted, error.why)
        else:
            shown, why = orjson.dumps(result).decode(), error.why
        raise status.invalid("", "", [invalid(Path("patch"), shown, why)]) from None


_JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}


def _not_a_patch(document: Any, media: str, wanted: str) -> str:
    have = _JSON_NAMES.get(type(document), "number")
    sentence = f"json: cannot unmarshal {have} into Go value of type {wanted}"
    return sentence if media == STRATEGIC else f"error decoding patch: {sentence}"


_WRONG = re.compile(r"json: cannot unmarshal (\w+) into Go (?:struct field \S+ of type|value of type) (\S+)")
_HELD = {"number": "int64", "object": "map", "array": "slice"}
_PLAIN = ("string", "bool", "int32", "int64", "float64")


def _not_converted(found: re.Match[str]) -> str:
    """The decoder's sentence as that of the converter from maps (k8s.io/apimachinery/pkg/runtime/converter.go)."""
    held, wanted = _HELD.get(found[1], found[1]), found[2]
    if wanted.startswith("[]"):
        return f"cannot restore slice from {held}"
    if wanted.startswith("map["):
        return f"cannot restore map from {held}"
    if wanted not in _PLAIN:
        return f"cannot restore struct from: {held}"
    if (held, wanted) == ("int64", "string"):
        return "cannot convert int64 to string"
    return f"unrecognized type: {wanted}"


async def patch(collection: Collection, call: Call, document: Any, media: str) -> Object:
    """The object as stored. Raises ApiError 400, 403, 404, 409 Conflict, 422."""

    async def change(current: Object) -> Object:
        held = {"metadata": {**current["metadata"]}}  # a strategic merge patch is worked into `current` itself
        served = await converted(current, call.resource)
        result = patched(call, served, document, media)
        metadata.place(call, result)
        new = await converted(read_patched(call, result, document, media, call.resource.gvk), collection.resource)
        metadata.check_patched(collection.resource, new, held)
        return new

    written = await change_object(collection, call, call.name, change, attempts=_ATTEMPTS)
    return await converted(written, call.resource)
