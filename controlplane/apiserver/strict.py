"""Configuration files decoded strictly, as upstream's codecs with EnableStrict do: a field that is not known, a key
that is there twice or a value of another type is a mistake.

A shape says what an object may have: its Go type, and the kind of each field: "string", "bool", "int32", "duration"
(seconds), "any" (nobody's business), another Shape, or a list of one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from apimachinery.meta import times

Object = dict[str, Any]


class Shape(Struct, frozen=True):
    """An object's Go type, and its fields."""

    go_type: str
    fields: Mapping[str, Any]


class Decoded(Struct, frozen=True):
    """fields: of the right types, without those that were null. unknown: "" or what is wrong with names of fields,
    which leaves the rest worth a look; wrong: whatever else could not be decoded."""

    fields: Object
    unknown: str = ""
    wrong: Sequence[str] = ()


def decode(text: bytes, kind: str, versions: Sequence[str], shape: Shape) -> Decoded:
    """The object of that kind, of one of these apiVersions, in a YAML or JSON text."""
    from apimachinery.meta.yaml_text import BadYaml, load  # which servers without such a file do without

    doubled: list[str] = []
    try:
        document = load(text, doubled)
    except BadYaml as error:
        return Decoded({}, wrong=[str(error)])
    if document is None:
        document = {}
    if not isinstance(document, dict):
        return Decoded({}, wrong=[_cannot(document, "value", f"{shape.go_type}")])
    for key, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not document.get(key):
            return Decoded({}, wrong=[f"Object '{shown}' is missing in '{_shown(text)}'"])
    if document["kind"] != kind or document["apiVersion"] not in versions:
        told = f'no kind "{document["kind"]}" is registered for version "{document["apiVersion"]}"'
        return Decoded({}, wrong=[told])
    return fields_of(document, shape, document["apiVersion"].rpartition("/")[2], doubled)


def fields_of(document: Mapping[str, Any], shape: Shape, version: str, doubled: Sequence[str] = ()) -> Decoded:
    """As `decode`, of an object whose kind is known. doubled: what is wrong with its keys."""
    walk = _Walk(version)
    fields = walk.object({key: document[key] for key in document if key not in ("kind", "apiVersion")}, shape, "", "")
    strange = [f'unknown field "{each}"' for each in walk.unknown]
    if doubled:
        from apimachinery.meta.yaml_text import unmarshal_errors  # there already: the file has been read

        strange.append(unmarshal_errors(doubled))
    return Decoded(fields, f"strict decoding error: {', '.join(strange)}" if strange else "", walk.wrong)


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")


class _Walk:
    def __init__(self, version: str) -> None:
        self._version = version
        self.unknown: list[str] = []
        self.wrong: list[str] = []

    def object(self, said: Mapping[str, Any], shape: Shape, path: str, go_path: str) -> Object:
        """path: with indices, as unknown fields are told; go_path: without, as encoding/json tells."""
        found = {}
        for key, value in said.items():
            kind = shape.fields.get(key)
            where, named = (f"{path}.{key}", f"{go_path}.{key}") if path else (key, key)
            if kind is None:
                self.unknown.append(where)
            elif value is not None:
                field = f"struct field {shape.go_type}.{named}"
                found[key] = self._value(value, kind, where, named, field)
        return {key: value for key, value in found.items() if value is not None}

    def _value(self, value: Any, kind: Any, path: str, go_path: str, field: str) -> Any:
        if isinstance(kind, list):
            if not isinstance(value, list):
                return self._refuse(value, field, f"[]{self._named(kind[0])}")
            items = (self._value(each, kind[0], f"{path}[{n}]", go_path, field) for n, each in enumerate(value))
            zero: Any = {} if isinstance(kind[0], Shape) else ""
            return [zero if item is None else item for item in items]
        if value is None or kind == "any":
            return value
        if isinstance(kind, Shape):
            if not isinstance(value, dict):
                return self._refuse(value, field, self._named(kind))
            return self.object(value, kind, path, go_path)
        if kind == "bool":
            return value if isinstance(value, bool) else self._refuse(value, field, kind)
        if kind == "int32":
            return value if type(value) is int else self._refuse(value, field, kind)
        if not isinstance(value, str):
            # A metav1.Duration reads its own text, and knows of no field.
            return self._refuse(value, "value" if kind == "duration" else field, "string")
        if kind == "string":
            return value
        try:
            return times.parse_duration(value)
        except ValueError as error:
            self.wrong.append(str(error))
            return None

    def _named(self, kind: Any) -> str:
        return f"{self._version}.{kind.go_type}" if isinstance(kind, Shape) else str(kind)

    def _refuse(self, value: Any, what: str, wanted: str) -> None:
        self.wrong.append(_cannot(value, what, wanted))


def _cannot(value: Any, what: str, wanted: str) -> str:
    names = {bool: "bool", str: "string", list: "array", dict: "object"}
    return f"json: cannot unmarshal {names.get(type(value), 'number')} into Go {what} of type {wanted}"
