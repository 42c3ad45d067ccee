"""What `protobuf` reads and `protobuf_encode` writes: the messages of the API, and which kind is which message.

Field numbers are in `protobuf_fields` and `protobuf_fields_extending`, types in the JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from apimachinery.api.schema import SCHEMA
from controlplane.apiserver.front import protobuf_fields, protobuf_fields_extending

MEDIA = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

Schema = Mapping[str, Any]

_MACHINERY = "io.k8s.apimachinery.pkg."
_META = f"{_MACHINERY}apis.meta.v1."
_EXTENDING = "io.k8s.apiextensions-apiserver.pkg.apis."
_PACKAGES = ("io.k8s.api.", f"{_MACHINERY}apis.", _EXTENDING, "io.k8s.kube-aggregator.pkg.apis.")

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


class Field(NamedTuple):
    """One field. pointer: absent is not zero. always: JSON shows it, zero or not. embedded: a message whose fields are
    the outer object's in JSON. wrapped: a list, in a message that holds nothing else."""

    name: str
    pointer: bool = False
    always: bool = False
    embedded: bool = False
    wrapped: bool = False


Fields = Mapping[int, Field]
_LIST: Fields = {1: Field("metadata"), 2: Field("items", always=True)}


@lru_cache(maxsize=1)
def _messages() -> dict[str, dict[int, Field]]:
    found: dict[str, dict[int, Field]] = {}
    for line in (protobuf_fields.FIELDS + protobuf_fields_extending.FIELDS).replace("\n  ", " ").splitlines():
        name, *words = line.split()
        number, fields = 0, {}
        for word in words:
            position, equals, rest = word.rpartition("=")
            number = int(position) if equals else number + 1
            bare = rest.strip("*!+~")
            fields[number] = Field(bare, rest.endswith("*"), rest.endswith("!"), rest.startswith("+"), "~" in rest)
        found[name] = fields
    found["meta.v1.PartialObjectMetadata"] = {1: Field("metadata")}
    return found


def message(name: str) -> Fields | None:
    """The fields of a message, `core.v1.Pod`, by number; None when it is none of the API's."""
    found = _messages().get(name)
    return _LIST if found is None and name.endswith("List") else found


def short(definition: str) -> str:
    """The message of a definition: `core.v1.Pod` for io.k8s.api.core.v1.Pod."""
    for package in _PACKAGES:
        if definition.startswith(package):
            return definition[len(package) :]
    return definition


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
