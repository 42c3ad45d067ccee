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
    """The object in a decoded body: of that kind, only known fields, defaults filled in. `document` is consumed.

    Raises ApiError 400 for another kind, a wrong type, and (fieldValidation=Strict) unknown fields and doubled keys,
    which otherwise become warnings.
    """
    api_version = f"{group}/{version}" if group else version
    if not isinstance(document, dict):
        raise status.bad_request(f"{api_version} {kind}: the body is not an object")
    have_version, have_kind = document.get("apiVersion"), document.get("kind")
    if have_kind not in (None, "", kind) or have_version not in (None, "", api_version):
        if have_kind != kind and isinstance(have_kind, str):
            raise status.bad_request(
                f"{have_kind} in version {_quoted(have_version)} cannot be handled as a {kind}: "
                f"converting ({have_version}).{have_kind} to ({api_version}).{kind}: unknown conversion"
            )
        raise status.bad_request(
            f"the API version in the data ({have_version}) does not match the expected API version ({api_version})"
        )
    document["apiVersion"], document["kind"] = api_version, kind
    where = f'{kind} in version "{version}" cannot be handled as a {kind}: '
    if isinstance(call.resource, DefinedResource) and kind == call.resource.kind:
        return call.resource.rules.read(call, document, where)
    decoded = SCHEMA.decode((group, version, kind), document)
    if decoded.error is not None:
        raise status.bad_request(where + decoded.error)
    if decoded.unknown or call.doubled:
        call.check_fields(decoded.unknown, where)
    obj = decoded.object
    obj.setdefault("metadata", {})
    defaults.apply_gvk((group, version, kind), obj)
    return obj


def _quoted(value: object) -> str:
    return f'"{value}"'
