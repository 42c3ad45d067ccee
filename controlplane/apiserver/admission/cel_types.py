"""The types of what admission's expressions name (k8s.io/apiserver/pkg/admission/plugin/cel: compile.go).

Importing this loads CEL: only what has expressions does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.schema import SCHEMA
from controlplane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
)
from controlplane.apiserver.extensions.cel_types import declared as schema_type
from controlplane.apiserver.registry.kinds import DefinedResource

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _object(title: str, /, **fields: Type) -> ObjectType:
    return ObjectType(title, fields={field: Field(field, kind) for field, kind in fields.items()})


_KIND = _object("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_RESOURCE = _object("kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING)
USER = _object(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=list_of(STRING),
    extra=map_of(STRING, list_of(STRING)),
)
REQUEST = _object(
    "kubernetes.AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=USER,
    dryRun=BOOL,
    options=DYN,
)
# Times are texts, as they are stored: upstream declares timestamps and then evaluates texts.
NAMESPACE = _object(
    "kubernetes.Namespace",
    metadata=_object(
        "kubernetes.NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=map_of(STRING, STRING),
        annotations=map_of(STRING, STRING),
        uid=STRING,
        creationTimestamp=DYN,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=DYN,
        generation=INT,
        resourceVersion=STRING,
        finalizers=list_of(STRING),
    ),
    spec=_object("kubernetes.NamespaceSpec", finalizers=list_of(STRING)),
    status=_object("kubernetes.NamespaceStatus", phase=STRING, conditions=list_of(DYN)),
)
_KNOWN: Mapping[str, Type] = {"request": REQUEST, "namespaceObject": NAMESPACE}


def declared(names: Sequence[str]) -> dict[str, Type]:
    """The names with their types; dyn where the type depends on the request."""
    found = {name: _KNOWN.get(name, DYN) for name in names}
    # `variables.x` is a name of its own where there is an x; anything else below `variables` is a mistake.
    return {**found, "variables": ObjectType("kubernetes.variables")}


def kind_type(resource: Resource) -> Type | None:
    """The type of a kind's objects; None for one whose schema nobody has."""
    if isinstance(resource, DefinedResource):
        kind, _ = schema_type((resource.definition.get("schema") or {}).get("openAPIV3Schema") or {}, root=True)
        if not isinstance(kind, ObjectType):
            return None
        return ObjectType(kind.name, fields={**kind.fields, "metadata": Field("metadata", _named(_METADATA, {}))})
    return _named(SCHEMA.definition_name(resource.gvk), {}) if resource.gvk in SCHEMA else None


def _named(name: str, made: dict[str, Type]) -> Type:
    if name not in made:
        made[name] = DYN  # what holds itself is dyn where it does
        made[name] = _typed(SCHEMA.definitions[name], made, name.rpartition(".")[2])
    return made[name]


def _typed(schema: Mapping[str, Any], made: dict[str, Type], name: str) -> Type:
    if "$ref" in schema:
        return _named(schema["$ref"].rpartition("/")[2], made)
    match schema.get("type"), schema.get("format"):
        case "string", "date-time":
            return TIMESTAMP
        case "string", "byte":
            return BYTES
        case "string", "int-or-string":
            return DYN
        case "string", _:
            return STRING
        case "boolean", _:
            return BOOL
        case "integer", _:
            return INT
        case "number", _:
            return DOUBLE
        case "array", _:
            return list_of(_typed(schema.get("items") or {}, made, name))
        case "object", _ if schema.get("properties"):
            fields = {key: Field(key, _typed(below, made, key)) for key, below in schema["properties"].items()}
            return ObjectType(name, fields=fields)
        case "object", _ if isinstance(schema.get("additionalProperties"), Mapping):
            return map_of(STRING, _typed(schema["additionalProperties"], made, name))
    return DYN
