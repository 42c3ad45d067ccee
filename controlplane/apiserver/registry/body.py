"""A request's body as an object of its kind: type errors, unknown fields, defaults (fieldValidation)."""

from __future__ import annotations

from typing import Any

from apimachinery.api import defaults
from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]


def read(call: Call, document: Any, group: str, version: str, kind: str) -> Object:
    """The object in a decoded body: of that kind, only known fields, without the zeros that Go does not write, defaults
    filled in. `document` is consumed.

    Raises ApiError 400 for another kind, a wrong type, and (fieldValidation=Strict) unknown fields and doubled keys,
    which otherwise become warnings.
    """
    api_version = f"{group}/{version}" if group else version
    if document is None:
        document = {}  # of which Go's decoder reads nothing
    if not isinstance(document, dict):
        raise status.bad_request(f"{api_version} {kind}: the body is not an object")
    have_version, have_kind = document.get("apiVersion") or api_version, document.get("kind") or kind
    if (have_version, have_kind) != (api_version, kind):
        raise _of_another_kind(str(have_version), str(have_kind), group, version, kind)
    document["apiVersion"], document["kind"] = api_version, kind
    where = f'{kind} in version "{version}" cannot be handled as a {kind}: '
    if isinstance(call.resource, DefinedResource) and kind == call.resource.kind:
        return call.resource.rules.read(call, document, where)
    decoded = SCHEMA.decode((group, version, kind), document)
    if decoded.error is not None:
        raise status.Undecodable(where, decoded.error)
    if decoded.unknown or call.doubled:
        call.check_fields(decoded.unknown, where)
    obj = decoded.object
    obj.setdefault("metadata", {})
    defaults.apply_gvk((group, version, kind), obj)
    return obj


def _of_another_kind(have_version: str, have_kind: str, group: str, version: str, kind: str) -> status.ApiError:
    """How Go refuses the kind before it looks at the fields: not known to it, or known and of another type."""
    have_group, _, word = have_version.rpartition("/")
    where = f'{have_kind} in version "{word}" cannot be handled as a {kind}: '
    if have_kind == kind and ((have_group, word, kind) in SCHEMA or (group, version, kind) not in SCHEMA):
        expected = f"{group}/{version}" if group else version
        return status.bad_request(
            f"the API version in the data ({have_version}) does not match the expected API version ({expected})"
        )
    if (have_group, word, have_kind) in SCHEMA:
        types = f"({word}.{have_kind}) to ({group.partition('.')[0] or 'core'}.{kind})"
        return status.Undecodable(where, f"converting {types}: unknown conversion")
    known = f'no kind "{have_kind}" is registered for version "{have_version}" in scheme'
    return status.Undecodable(where, f'{known} "pkg/api/legacyscheme/scheme.go:30"')
