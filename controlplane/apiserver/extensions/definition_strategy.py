"""The strategy of definitions themselves. What judges them is loaded with the first that is written: it brings CEL and
RE2, which a server that only reads its definitions need not have."""

from __future__ import annotations

from typing import Any

from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status
from apimachinery.meta.paths import Problem
from controlplane.apiserver.extensions.definition import FINALIZER, TERMINATING, condition, storage_version
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object, Strategy, keep

_JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_KIND = "CustomResourceDefinition"
_WHERE = f'{_KIND} in version "v1" cannot be handled as a {_KIND}: '
_DELETING = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
_FORMATS = frozenset(
    {
        *("uuid", "uuid3", "uuid4", "uuid5", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac"),
        *("byte", "password", "date", "duration", "date-time", "datetime"),
        *("bsonobjectid", "isbn", "isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor"),
    }
)
"""What a string's format may be; any other is accepted and means nothing."""


class DefinitionStrategy(Strategy):
    """`customresourcedefinitions`: names filled in, the status is the server's, an end that waits for the objects."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        _fill(obj)
        obj["status"] = {
            "conditions": [],
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": [
                each.get("name") or "" for each in (obj.get("spec") or {}).get("versions") or () if each.get("storage")
            ][:1],
        }

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        _fill(new)
        keep(new, old, "status")
        name = storage_version(new.get("spec") or {})
        state = new.get("status") or {}
        if name and name not in (state.get("storedVersions") or ()):
            new["status"] = {**state, "storedVersions": [*(state.get("storedVersions") or ()), name]}

    def validate_create(self, call: Call, obj: Object) -> list[Problem]:
        from controlplane.apiserver.extensions import validation

        return validation.validate_create(obj)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[Problem]:
        from controlplane.apiserver.extensions import validation

        if call.subresource == "status":
            return validation.validate_status(new, old)
        return validation.validate_update(new, old)

    def warn(self, call: Call, new: Object, old: Object | None) -> None:
        if not call.subresource:
            for version in new["spec"].get("versions") or ():
                _warn_of_formats(call, (version.get("schema") or {}).get("openAPIV3Schema"))

    def held(self, obj: Object) -> bool:
        # Its first deletion only marks it: the objects go before their kind does.
        return super().held(obj) or not obj["metadata"].get("deletionTimestamp")

    def ending(self, obj: Object) -> Object:
        meta, state = obj["metadata"], obj.get("status") or {}
        finalizers = meta.get("finalizers") or []
        if FINALIZER in finalizers or condition(obj, TERMINATING) is not None:
            return obj
        marked = {
            "type": TERMINATING,
            "status": "True",
            "lastTransitionTime": meta["deletionTimestamp"],
            "reason": "InstanceDeletionPending",
            "message": _DELETING,
        }
        return {
            **obj,
            "metadata": {**meta, "finalizers": [*finalizers, FINALIZER]},
            "status": {**state, "conditions": [*(state.get("conditions") or ()), marked]},
        }


def _fill(obj: Object) -> None:
    """SetDefaults_CustomResourceDefinitionSpec."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    words = spec.setdefault("names", {})
    kind = words.get("kind") or ""
    if kind:
        words["singular"] = words.get("singular") or kind.lower()
        words["listKind"] = words.get("listKind") or kind + "List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    for version in spec.get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            _read(schema)
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _read(schema: Object) -> None:
    """Decode, in place, what the API's own schema does not describe: an `items` or `additionalProperties` may be a
    schema or something else. Raises ApiError 400."""
    for key in ("items", "additionalProperties"):
        below = schema.get(key)
        if isinstance(below, dict):
            decoded = SCHEMA.decode_part(_JSON_SCHEMA, below)
            if decoded.error is not None:
                raise status.bad_request(_WHERE + decoded.error)
            schema[key] = decoded.object
        elif below is not None and not isinstance(below, bool if key == "additionalProperties" else list):
            raise status.bad_request(
                f"{_WHERE}json: cannot unmarshal {below!r} into Go struct field JSONSchemaProps.{key}"
            )
    inner = [schema.get(key) for key in ("items", "additionalProperties", "not")]
    for key in ("properties", "patternProperties", "definitions"):
        inner += (schema.get(key) or {}).values()
    for key in ("allOf", "anyOf", "oneOf"):
        inner += schema.get(key) or []
    for each in inner:
        if isinstance(each, dict):
            _read(each)


def _warn_of_formats(call: Call, schema: Any) -> None:
    """Formats that nobody checks, anywhere in a schema."""
    if isinstance(schema, list):
        for each in schema:
            _warn_of_formats(call, each)
    if not isinstance(schema, dict):
        return
    form = schema.get("format")
    if isinstance(form, str) and form and form not in _FORMATS:
        call.warn(f'unrecognized format "{form}"')
    for below in (schema.get("properties") or {}).values():
        _warn_of_formats(call, below)
    for key in ("items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"):
        _warn_of_formats(call, schema.get(key))
