"""A defined kind's schema as OpenAPI publishes it (apiextensions-apiserver/pkg/controller/openapi/builder)."""

from __future__ import annotations

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
_NOT_IN_SWAGGER = ("oneOf", "anyOf", "allOf", "not", "nullable", "x-kubernetes-validations")


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
    """An object's schema with what every object has."""
    shown = _plain(schema) if swagger else schema
    if shown.get("x-kubernetes-preserve-unknown-fields") and not shown.get("properties") and swagger:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {
        **(shown.get("properties") or {}),
        **_envelope(),
        "metadata": {"description": _METADATA, "$ref": f"{_META}.ObjectMeta"},
    }
    return {**shown, "type": "object", "properties": properties}


def _plain(schema: Object) -> Object:
    found = {key: value for key, value in schema.items() if key not in _NOT_IN_SWAGGER}
    if found.get("x-kubernetes-preserve-unknown-fields"):
        # Version 2 would take the listed fields for all there are.
        found.pop("properties", None)
        found.pop("items", None)
        if found.get("type") == "array":
            found.pop("type")
    if isinstance(found.get("properties"), dict):
        found["properties"] = {name: _plain(below) for name, below in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _plain(found[key])
    return found
