"""A defined kind's schema as OpenAPI publishes it (apiextensions-apiserver/pkg/controller/openapi/builder)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_LIST_METADATA = (
    "Standard list metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_NOT_IN_SWAGGER = ("oneOf", "anyOf", "allOf", "not", "nullable")
_CONVENTIONS = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_EMBEDDED = {
    "apiVersion": {
        "description": f"apiVersion defines the versioned schema of this representation of an object. {_CONVENTIONS}"
        "#resources",
        "type": "string",
    },
    "kind": {
        "description": f"kind is a string value representing the type of this object. In CamelCase. {_CONVENTIONS}"
        "#types-kinds",
        "type": "string",
    },
    "metadata": {"description": _METADATA, "$ref": f"{_META}.ObjectMeta"},
}


def definition_name(resource: DefinedResource, kind: str) -> str:
    """`com.example.stable.v1.CronTab`: the group's words turned round."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, kind])


def definitions(resource: DefinedResource, *, swagger: bool = False) -> dict[str, Object]:
    """The definitions of a kind and of its list, by name; swagger: without what version 2 has not."""
    name = definition_name(resource, resource.kind)
    schema = _whole((resource.definition.get("schema") or {}).get("openAPIV3Schema") or {}, swagger)
    gvk = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    listed = {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_envelope(),
            "metadata": {"description": _LIST_METADATA, "$ref": f"{_META}.ListMeta"},
            "items": {
                "description": f"List of {resource.plural}. More info: "
                "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                "type": "array",
                "items": {"$ref": name},
            },
        },
        "x-kubernetes-group-version-kind": [{**gvk, "kind": resource.list_kind}],
    }
    return {
        name: {**schema, "x-kubernetes-group-version-kind": [gvk]},
        definition_name(resource, resource.list_kind): listed,
    }


def _envelope() -> dict[str, Object]:
    return {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
    }


def _whole(schema: Object, swagger: bool) -> Object:
    """An object's schema with what every object has. In version 2 an object of any fields has none listed: kubectl
    would take those for all there are."""
    if swagger and schema.get("x-kubernetes-preserve-unknown-fields"):
        return {"type": "object"}
    shown = _embedding(_plain(schema) if swagger else schema, swagger)
    properties = {
        **(shown.get("properties") or {}),
        **_envelope(),
        "metadata": {"description": _METADATA, "$ref": f"{_META}.ObjectMeta"},
    }
    return {**shown, "type": "object", "properties": properties}


def _plain(schema: Object) -> Object:
    """Without what version 2 has not (ToStructuralOpenAPIV2): values that may be null or hold unknown fields are of any
    type, and an array needs items."""
    found = {key: value for key, value in schema.items() if key not in _NOT_IN_SWAGGER}
    unknown = bool(found.get("x-kubernetes-preserve-unknown-fields"))
    if schema.get("nullable") or unknown:
        found.pop("items", None)
        found.pop("properties", None)
    kind = found.get("type")
    if schema.get("nullable") or (kind == "array" and "items" not in found) or (kind == "object" and unknown):
        found.pop("type", None)
    properties, others = found.get("properties") or {}, found.get("additionalProperties")
    required = [name for name in found.pop("required", ()) if not (properties.get(name) or {}).get("nullable")]
    if required and not (isinstance(others, dict) and others.get("nullable")):
        found["required"] = required
    return _below(found, _plain)


def _embedding(schema: Object, swagger: bool) -> Object:
    """With the fields that an embedded object has, wherever there is one."""
    found = _below(schema, lambda below: _embedding(below, swagger))
    if not found.get("x-kubernetes-embedded-resource"):
        return found
    if swagger and found.get("x-kubernetes-preserve-unknown-fields"):
        return found
    required = found.get("required") or []
    return {
        **found,
        "properties": {**(found.get("properties") or {}), **_EMBEDDED},
        "required": [*required, *(name for name in ("kind", "apiVersion") if name not in required)],
    }


def _below(schema: Object, change: Callable[[Object], Object]) -> Object:
    """The schema with those below it changed."""
    found = dict(schema)
    if isinstance(found.get("properties"), dict):
        found["properties"] = {name: change(below) for name, below in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = change(found[key])
    return found
