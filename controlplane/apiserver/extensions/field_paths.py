"""Paths to a field of a schema, as rules and selectable fields name them: `.spec.size`, `.spec['a.b']`
(k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel, ValidFieldPath)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_TOKEN = re.compile(r"[.\[\]]|'(?:\\.|[^'\\])*'|[^.\[\]]+", re.DOTALL)
_NO_FIELD = "does not refer to a valid field"
_END = "unexpected end of JSON path"


class BadFieldPath(ValueError):
    """Not a path, or none to a field that the schema has."""


def follow(text: str, schema: Schema, *, lists: bool = True) -> tuple[tuple[str, ...], Schema]:
    """The names on the way, and the schema of the field. lists: brackets may be used.

    Raises BadFieldPath with upstream's words.
    """
    names: list[str] = []
    tokens = iter(_TOKEN.findall(text))
    for token in tokens:
        if token == ".":
            name = next(tokens, None)
            if name is None:
                raise BadFieldPath(_END)
        elif token == "[":
            if not lists:
                raise BadFieldPath("array notation is not allowed")
            name = _quoted(next(tokens, None))
        else:
            raise BadFieldPath(f"expected [ or . but got: {token}")
        schema = _below(schema, name)
        names.append(name)
        if token == "[" and (closing := next(tokens, None)) != "]":
            raise BadFieldPath(_END if closing is None else f"expected ] but got {closing}")
    return tuple(names), schema


def _quoted(token: str | None) -> str:
    if token is None:
        raise BadFieldPath(_END)
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise BadFieldPath(f"expected single quoted string but got {token}")
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)


def _below(schema: Schema, name: str) -> Schema:
    properties, more = schema.get("properties"), schema.get("additionalProperties")
    found = properties.get(name) if properties else more
    if not isinstance(found, Mapping):
        raise BadFieldPath(_NO_FIELD)
    return found
