"""The verb patch: JSON (RFC 6902), merge (RFC 7386) and strategic merge patches."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status
from apimachinery.meta.patches import PatchError, json_patch, merge_patch, strategic_merge_into
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

_ATTEMPTS = 5  # upstream's MaxRetryWhenPatchConflicts


def accepted(resource: Resource) -> tuple[str, ...]:
    """The media types of patches that a kind takes: strategic merge needs a type in Go."""
    return _ACCEPTED_BY_DEFINED if isinstance(resource, DefinedResource) else ACCEPTED


def patched(call: Call, current: Object, document: Any, media: str) -> Object:
    """`current` (in the version of the call; it is used up) with the patch applied, not checked yet.

    Raises ApiError 400, 422."""
    try:
        if media == JSON:
            result = json_patch(current, document)
        elif not isinstance(document, dict):
            raise status.bad_request("the body of a merge patch must be an object")
        elif media == MERGE:
            result = merge_patch(current, document)
        else:
            result = strategic_merge_into(current, document, patch_meta(call.resource))
    except PatchError as error:
        raise status.bad_request(str(error)) if error.malformed else status.unprocessable(str(error)) from None
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise status.unprocessable("the patch does not leave an object behind")
    return result


async def patch(collection: Collection, call: Call, document: Any, media: str) -> Object:
    """The object as stored. Raises ApiError 400, 403, 404, 409 Conflict, 422."""
    if media == JSON and not (isinstance(document, list) and all(isinstance(each, dict) for each in document)):
        raise status.bad_request("json: cannot unmarshal the body into a list of JSON patch operations")

    async def change(current: Object) -> Object:
        served = await converted(current, call.resource)
        result = patched(call, served, document, media)
        metadata.place(call, result)
        new = await converted(read(call, result, *call.resource.gvk), collection.resource)
        metadata.check_version(collection.resource, new, current, unconditional=True)
        return new

    written = await change_object(collection, call, call.name, change, attempts=_ATTEMPTS)
    return await converted(written, call.resource)
