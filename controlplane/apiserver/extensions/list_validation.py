"""What the list type of a schema node is refused for (KEP-555): sets, lists keyed by fields, their items
(k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.validation.go_values import go_strings
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required

Schema = Mapping[str, Any]

_TYPE, _KEYS, _MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
_TYPES = ("atomic", "set", "map")


def list_problems(schema: Schema, path: Path) -> Iterator[Problem]:
    """Of one node; not of what is below it."""
    kind, keys, items = schema.get(_TYPE), schema.get(_KEYS) or [], schema.get("items")
    one = items if isinstance(items, dict) else None
    if kind is not None and schema.get("type") != "array":
        yield type_must(f"be array if {_TYPE} is specified", schema.get("type"), path)
    elif kind == "set" and one is not None:
        yield from _set_items(one, path.child("items"))
    if kind is not None and kind not in _TYPES:
        yield not_supported(path.child(_TYPE), kind, _TYPES)
    if keys and kind != "map":
        sentence, where = f"must be map if {_KEYS} is non-empty", path.child(_TYPE)
        yield required(where, sentence) if kind is None else invalid(where, kind, sentence)
    if kind == "map":
        yield from _map_items(schema, keys, path)
    if kind in ("set", "map") and one is not None:
        if one.get("nullable"):
            yield forbidden(path.child("items", "nullable"), f"cannot be nullable when {_TYPE} is {kind}")
        if kind == "map":
            yield from _keys(one, keys, path.child("items"))


def type_must(sentence: str, kind: str | None, path: Path) -> Problem:
    """The type is missing, or another than it must be."""
    where = path.child("type")
    return invalid(where, kind, f"must {sentence}") if kind else required(where, f"must {sentence}")


def _set_items(items: Schema, path: Path) -> Iterator[Problem]:
    text = f"must be atomic as item of a list with {_TYPE}=set"
    if items.get("type") == "array" and items.get(_TYPE) not in (None, "atomic"):
        yield invalid(path.child(_TYPE), items[_TYPE], text)
    if items.get("type") == "object" and items.get(_MAP) != "atomic":
        # Upstream shows the list type here.
        yield invalid(path.child(_MAP), items.get(_TYPE), text)


def _map_items(schema: Schema, keys: list[str], path: Path) -> Iterator[Problem]:
    items, where = schema.get("items"), path.child(_KEYS)
    if not keys:
        yield required(where, f"must not be empty if {_TYPE} is map")
    if not isinstance(items, dict):
        text = f"if {_TYPE} is map"
        if items is None:
            yield required(path.child("items"), f"must have a schema {text}")
        else:
            yield invalid(path.child("items"), items, f"must only have a single schema {text}")
        return
    kind = items.get("type") or ""
    if kind != "object":
        yield invalid(
            path.child("items", "type"), kind, "must be object if parent array's x-kubernetes-list-type is map"
        )
        return
    properties = items.get("properties") or {}
    for at, key in enumerate(keys):
        if key not in properties:
            yield invalid(where, go_strings(keys), "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            below = path.child("items", "properties").key(key)
            # Upstream shows the type of the item here.
            text = f"must be a scalar type if parent array's {_TYPE} is map"
            yield invalid(below.child("type"), kind, text)
        if key in keys[:at]:
            yield invalid(where, go_strings(keys), "must not contain duplicate entries")


def _keys(items: Schema, keys: list[str], path: Path) -> Iterator[Problem]:
    properties = items.get("properties") or {}
    for key in keys:
        field, where = properties.get(key), path.child("properties").key(key)
        if field is None:
            continue
        told = f"this property is in {_KEYS}, so it"
        if key not in (items.get("required") or ()) and field.get("default") is None:
            yield required(where.child("default"), f"{told} must have a default or be a required property")
        if field.get("nullable"):
            yield forbidden(where.child("nullable"), f"{told} cannot be nullable")
