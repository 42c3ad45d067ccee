"""What `protobuf` reads and `protobuf_encode` writes: the messages of the API, and which kind is which message.

Field numbers are in `apimachinery.api.go_fields` and `go_fields_extending`, types in the JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.api.go_types import message, short
from apimachinery.api.schema import SCHEMA

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

Schema = Mapping[str, Any]

_MACHINERY = "io.k8s.apimachinery.pkg."
_META = f"{_MACHINERY}apis.meta.v1."
_EXTENDING = "io.k8s.apiextensions-apiserver.pkg.apis."

QUANTITY = f"{_MACHINERY}api.resource.Quantity"
INT_OR_STRING = f"{_MACHINERY}util.intstr.IntOrString"
TIME, MICRO_TIME = f"{_META}Time", f"{_META}MicroTime"
RAW = (f"{_MACHINERY}runtime.RawExtension", f"{_META}FieldsV1", f"{_EXTENDING}apiextensions.v1.JSON")
"""Messages of one field: JSON, as it is."""
SCHEMA_PROPS = f"{_EXTENDING}apiextensions.v1.JSONSchemaProps"
OR_ARRAY, OR_BOOL, OR_STRINGS = (f"{SCHEMA_PROPS}Or{other}" for other in ("Array", "Bool", "StringArray"))

_ANSWERS = frozenset({"APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Status"})
_PARTIAL: Schema = {"properties": {"metadata": {"$ref": f"{_META}ObjectMeta"}}}
_PARTIAL_LIST: Schema = {
    "properties": {
        "metadata": {"$ref": f"{_META}ListMeta"},
        "items": {"type": "array", "items": {"$ref": f"{_META}PartialObjectMetadata"}},
    }
}


def schema_of(definition: str) -> Schema:
    """A definition by its name. Raises KeyError."""
    if definition == f"{_META}PartialObjectMetadata":
        return _PARTIAL
    if definition == f"{_META}PartialObjectMetadataList":
        return _PARTIAL_LIST
    found: Schema = SCHEMA.definitions[definition]
    return found


def definition_of(api_version: str, kind: str) -> str:
    """The definition of a kind that has a form in protobuf; "" when it has none, as every kind that was defined by a
    CustomResourceDefinition."""
    group, _, version = api_version.rpartition("/")
    if kind in _ANSWERS:
        return _META + kind  # every group has them
    if group == "meta.k8s.io" and kind in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        return _META + kind
    gvk = (group, version, kind)
    if gvk not in SCHEMA:
        return ""
    definition = SCHEMA.definition_name(gvk)
    return definition if message(short(definition)) is not None else ""
