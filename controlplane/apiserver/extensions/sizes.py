"""How large a value can be by its schema, in one request (k8s.io/apiserver/pkg/cel/common/schemas.go): what the cost of
a rule is estimated with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.apiserver.cel.estimate import Path, Size
from controlplane.apiserver.extensions.cel_types import describes_metadata, escape

Schema = Mapping[str, Any]

MAX_REQUEST = 3 * 1024 * 1024
"""Bytes of the largest request."""
_QUOTES = 2
_DURATION, _MOMENT, _DATE = 32, 32, 12
_LEAST_DURATION, _LEAST_MOMENT = 3, 21
_BYTES_A_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """most: elements, entries, characters; least: the bytes of the shortest JSON; what is below it."""

    most: int
    least: int
    fields: Mapping[str, Shape] = field(default_factory=dict)
    item: Shape | None = None
    key: Shape | None = None

    def at(self, path: Path) -> Size | None:
        """The size at a path whose first step is the variable (self, oldSelf) itself; None where there is nothing."""
        here: Shape | None = self
        for step in path[1:]:
            if here is None:
                return None
            if step in ("@items", "@values"):
                here = here.item
            else:
                here = here.key if step == "@keys" else here.fields.get(step)
        return None if here is None else Size(0, here.most)


_WORD = Shape(0, _QUOTES)
_NAMES = {"apiVersion": Shape(MAX_REQUEST - _QUOTES, _QUOTES), "kind": Shape(MAX_REQUEST - _QUOTES, _QUOTES)}
_META = Shape(0, 2, {name: Shape(MAX_REQUEST - _QUOTES, _QUOTES) for name in ("name", "generateName")})


def shape_of(schema: Schema, *, root: bool = False) -> Shape | None:
    """The shape of a node; None for one that expressions cannot see. root: of an object with kind and metadata."""
    if schema.get("x-kubernetes-int-or-string"):
        return Shape(_most_characters(schema), 1)
    match schema.get("type"):
        case "array":
            below = schema.get("items") or {}
            item = shape_of(below, root=bool(below.get("x-kubernetes-embedded-resource")))
            if item is None:
                return None
            return Shape(_given(schema, "maxItems", (MAX_REQUEST - 2) // (item.least + 1)), 2, item=item)
        case "object":
            return _object(schema, root)
        case "string":
            return _string(schema)
        case "boolean":
            return Shape(0, 4)
        case "integer" | "number":
            return Shape(0, 1)
    return None


def _object(schema: Schema, root: bool) -> Shape | None:
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        value = shape_of(more, root=bool(more.get("x-kubernetes-embedded-resource")))
        if value is None:
            return None
        return Shape(_given(schema, "maxProperties", (MAX_REQUEST - 2) // (value.least + 6)), 2, item=value, key=_WORD)
    fields: dict[str, Shape] = {}
    least, required = 2, schema.get("required") or ()
    for name, below in (schema.get("properties") or {}).items():
        shape = shape_of(below, root=bool(below.get("x-kubernetes-embedded-resource")))
        if shape is None:
            continue
        spelled = escape(name)
        if spelled is not None:
            fields[spelled] = shape
        if name in required and "default" not in below:
            least += len(name.encode()) + shape.least + 4
    whole = root and not describes_metadata(schema)
    return Shape(0, least, {**fields, **_NAMES, "metadata": _META} if whole else fields)


def _string(schema: Schema) -> Shape:
    match schema.get("format"):
        case "byte":
            return Shape(_given(schema, "maxLength", MAX_REQUEST - _QUOTES), _QUOTES)
        case "duration":
            return Shape(_DURATION, _LEAST_DURATION)
        case "date":
            return Shape(_DATE, _DATE)
        case "date-time":
            return Shape(_MOMENT, _LEAST_MOMENT)
    return Shape(_most_characters(schema), _QUOTES)


def _most_characters(schema: Schema) -> int:
    longest = schema.get("maxLength")
    if longest is not None:
        return _BYTES_A_CHARACTER * max(int(longest), 0)
    words = [each for each in schema.get("enum") or () if isinstance(each, str)]
    if schema.get("enum") and not schema.get("x-kubernetes-int-or-string"):
        return max((len(each.encode()) for each in words), default=0)
    return MAX_REQUEST - _QUOTES


def _given(schema: Schema, name: str, otherwise: int) -> int:
    return otherwise if schema.get(name) is None else max(int(schema[name]), 0)
