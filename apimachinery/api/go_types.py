"""What Go's types of the API say that their JSON schema does not, by the tables of `go_fields`: the numbers of their
fields in protobuf, and which of them JSON leaves out when they hold nothing (omitempty)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from apimachinery.api import go_fields, go_fields_extending

_MACHINERY = "io.k8s.apimachinery.pkg."
_EXTENDING = "io.k8s.apiextensions-apiserver.pkg.apis."
_PACKAGES = ("io.k8s.api.", f"{_MACHINERY}apis.", _EXTENDING, "io.k8s.kube-aggregator.pkg.apis.")
_LEFT_OUT = ("string", "integer", "number", "boolean", "array")


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
    for line in (go_fields.FIELDS + go_fields_extending.FIELDS).replace("\n  ", " ").splitlines():
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


def omitted(definitions: Mapping[str, Any], name: str) -> frozenset[str]:
    """The fields of a definition that Go does not write when they are "", 0, false or empty: neither pointers, of
    which nothing is not zero, nor structs, which are always written."""
    properties = definitions[name].get("properties") or {}
    return frozenset(
        field
        for field in _always(short(name))[1]
        # Of managedFields a list of no entries asks to start afresh, and nothing asks for nothing.
        if field in properties and _may_be_left_out(properties[field]) and field != "managedFields"
    )


def written(definitions: Mapping[str, Any], name: str) -> frozenset[str]:
    """The lists, maps and structs of a definition that Go writes even when nothing is in them (as null or {})."""
    properties = definitions[name].get("properties") or {}
    always, structs = _always(short(name))
    return always | {
        field
        for field in structs & properties.keys()
        if "properties" in definitions.get(properties[field].get("$ref", ""), {})
    }


def _always(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The fields that are always written, and those that are if they are structs."""
    always, others = set[str](), set[str]()
    for field in (message(name) or {}).values():
        if field.embedded:
            inner = _always(f"{name.rpartition('.')[0]}.{field.name}")
            always |= inner[0]
            others |= inner[1]
        elif field.always:
            always.add(field.name)
        elif not field.pointer:
            others.add(field.name)
    return frozenset(always), frozenset(others)


def _may_be_left_out(schema: Mapping[str, Any]) -> bool:
    # What is only referred to is a struct, or has a zero of its own that Go writes: a time, a quantity.
    return schema.get("type") in _LEFT_OUT or "additionalProperties" in schema
