"""What a version's openAPIV3Schema is refused for: what OpenAPI has and Kubernetes does not, structurality, the
extensions, defaults, CEL rules (apiextensions/validation, apiserver/schema/validation.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.objects import copied
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_supported, required
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library.regex import compiled
from controlplane.apiserver.extensions import structural
from controlplane.apiserver.extensions.go_values import go_value
from controlplane.apiserver.extensions.paths import Step
from controlplane.apiserver.extensions.rule_validation import rule_problems
from controlplane.apiserver.extensions.values import check

Schema = Mapping[str, Any]

ROOT, ITEM, FIELD = "root", "item", "field"
_TYPELESS = {
    ROOT: "must not be empty at the root",
    ITEM: "must not be empty for specified array items",
    FIELD: "must not be empty for specified object fields",
}
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_SCALARS = ("string", "integer", "number", "boolean")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_FORBIDDEN_NESTED = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}


def schema_problems(schema: Schema, path: Path) -> list[Problem]:
    """Everything that is wrong with a schema; path: of openAPIV3Schema."""
    problems = list(_common(schema, path, ROOT))
    problems += sorted(_structural(schema, path, ROOT), key=str)
    if not problems:
        problems += _defaults(structural.build(schema), path)
        problems += rule_problems(schema, path)
    return problems


def field_type(schema: Schema, steps: tuple[Step, ...]) -> str | None:
    """The type of the field at a path of names; None when there is none."""
    for kind, name in steps:
        below = (schema.get("properties") or {}).get(name) if kind == "field" else None
        if not isinstance(below, dict):
            return None
        schema = below
    return str(schema.get("type") or "")


def _common(schema: Schema, path: Path, level: str) -> Iterator[Problem]:
    """Rules of every node, nested ones too."""
    for key in _UNSUPPORTED:
        if schema.get(key):
            yield forbidden(path.child(key), f"{key} is not supported")
    if schema.get("uniqueItems"):
        yield forbidden(
            path.child("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    kind = schema.get("type")
    if kind == "null":
        yield forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative")
    elif kind and kind not in _TYPES:
        yield not_supported(path.child("type"), kind, _TYPES)
    more = schema.get("additionalProperties")
    if more is not None and schema.get("properties") and more is not True:
        yield forbidden(path.child("additionalProperties"), "additionalProperties and properties are mutual exclusive")
    if isinstance(schema.get("items"), list):
        yield forbidden(path.child("items"), "items must be a schema object and not an array")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(path.child("x-kubernetes-preserve-unknown-fields"), False, "must be true or undefined")
    yield from _list_type(schema, path)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None and map_type not in ("atomic", "granular"):
        yield not_supported(path.child("x-kubernetes-map-type"), map_type, ["atomic", "granular"])
    if map_type is not None and kind != "object":
        yield (
            invalid(path.child("type"), kind, "must be object if x-kubernetes-map-type is specified")
            if kind
            else required(path.child("type"), "must be object if x-kubernetes-map-type is specified")
        )
    for below, where, next_level in _below(schema, path):
        yield from _common(below, where, next_level)
    for key in _JUNCTORS:
        for at, each in enumerate(schema.get(key) or ()):
            yield from _common(each, path.child(key).index(at), level)
    if isinstance(schema.get("not"), dict):
        yield from _common(schema["not"], path.child("not"), level)


def _list_type(schema: Schema, path: Path) -> Iterator[Problem]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if kind is not None and schema.get("type") != "array":
        have = schema.get("type")
        sentence = "must be array if x-kubernetes-list-type is specified"
        yield invalid(path.child("type"), have, sentence) if have else required(path.child("type"), sentence)
    if kind is not None and kind not in ("atomic", "set", "map"):
        yield not_supported(path.child("x-kubernetes-list-type"), kind, ["atomic", "map", "set"])
    if keys and kind != "map":
        sentence = "must be map if x-kubernetes-list-map-keys is non-empty"
        where = path.child("x-kubernetes-list-type")
        yield required(where, sentence) if kind is None else invalid(where, kind, sentence)
    items = schema.get("items")
    if (
        kind == "set"
        and isinstance(items, dict)
        and items.get("type") == "object"
        and items.get("x-kubernetes-map-type") != "atomic"
    ):
        yield invalid(
            path.child("items", "x-kubernetes-map-type"),
            items.get("x-kubernetes-map-type"),
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        )
    if kind != "map":
        return
    where = path.child("x-kubernetes-list-map-keys")
    if not keys:
        yield required(where, "must not be empty if x-kubernetes-list-type is map")
    if not isinstance(items, dict):
        yield required(path.child("items"), "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        yield invalid(
            path.child("items", "type"),
            items.get("type") or "",
            "must be object if parent array's x-kubernetes-list-type is map",
        )
    properties = items.get("properties") or {}
    for at, key in enumerate(keys):
        if key in keys[:at]:
            yield duplicate(where.index(at), key)
        field = properties.get(key)
        if field is None:
            yield invalid(where.index(at), key, "entries must all be names of item properties")
            continue
        below = path.child("items", "properties").key(key)
        if field.get("type") not in _SCALARS and not field.get("x-kubernetes-int-or-string"):
            yield invalid(
                below.child("type"),
                field.get("type") or "",
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            )
        if key not in (items.get("required") or ()) and "default" not in field:
            yield required(
                below.child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )


def _below(schema: Schema, path: Path) -> Iterator[tuple[Schema, Path, str]]:
    for name, below in (schema.get("properties") or {}).items():
        yield below, path.child("properties").key(name), FIELD
    if isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"], path.child("additionalProperties"), FIELD
    if isinstance(schema.get("items"), dict):
        yield schema["items"], path.child("items"), ITEM


def _structural(schema: Schema, path: Path, level: str) -> Iterator[Problem]:
    """The invariants of a structural schema (KEP-1029)."""
    kind = schema.get("type") or ""
    embedded, preserves = (
        schema.get("x-kubernetes-embedded-resource"),
        schema.get("x-kubernetes-preserve-unknown-fields"),
    )
    either = schema.get("x-kubernetes-int-or-string")
    if kind == "array" and schema.get("items") is None:
        yield required(path.child("items"), "must be specified")
    for below, where, next_level in _below(schema, path):
        yield from _structural(below, where, next_level)
    if level == ROOT and schema.get("additionalProperties") is not None:
        yield forbidden(path.child("additionalProperties"), "must not be used at the root")
    if either and preserves:
        yield invalid(
            path.child("x-kubernetes-preserve-unknown-fields"),
            True,
            "must be false if x-kubernetes-int-or-string is true",
        )
    if either and embedded:
        yield invalid(
            path.child("x-kubernetes-embedded-resource"), True, "must be false if x-kubernetes-int-or-string is true"
        )
    yield from _junctors(schema, path, level)
    if embedded and kind != "object":
        sentence = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(path.child("type"), kind, sentence) if kind else required(path.child("type"), sentence)
    elif not kind and not either and not preserves:
        yield required(path.child("type"), _TYPELESS[level])
    if embedded and schema.get("additionalProperties") is not None:
        yield forbidden(path.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set")
    if level == ROOT and kind and kind != "object":
        yield invalid(path.child("type"), kind, "must be object at the root")
    properties = schema.get("properties") or {}
    if level == ROOT or embedded:
        yield from _envelope(properties, path, level)
    if embedded and not preserves and not properties:
        yield required(
            path.child("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        )


def _envelope(properties: Schema, path: Path, level: str) -> Iterator[Problem]:
    for name in ("kind", "apiVersion"):
        if name in properties and properties[name].get("type") != "string":
            yield invalid(
                path.child("properties").key(name).child("type"), properties[name].get("type") or "", "must be string"
            )
    metadata = properties.get("metadata")
    if metadata is None:
        return
    where = path.child("properties").key("metadata")
    if metadata.get("type") != "object":
        yield invalid(where.child("type"), metadata.get("type") or "", "must be object")
    others = {
        key for key, value in metadata.items() if value and key not in ("type", "properties", "default", "description")
    }
    if level == ROOT and (others or set(metadata.get("properties") or ()) - {"name", "generateName"}):
        yield forbidden(
            where, "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )


def _junctors(schema: Schema, path: Path, level: str) -> Iterator[Problem]:
    """Value validations that are nested may restrict what the structure has, and add nothing to it."""
    either = bool(schema.get("x-kubernetes-int-or-string"))
    for key in _JUNCTORS:
        if key == "anyOf" and either and schema.get(key) == _INT_OR_STRING:
            continue
        for at, each in enumerate(schema.get(key) or ()):
            skip = key == "allOf" and at == 0 and either and each.get("anyOf") == _INT_OR_STRING
            yield from _nested(each, schema, path, path.child(key).index(at), skip)
    if isinstance(schema.get("not"), dict):
        yield from _nested(schema["not"], schema, path, path.child("not"), False)
    if pattern := schema.get("pattern"):
        yield from _pattern(pattern, path)


def _pattern(pattern: str, path: Path) -> Iterator[Problem]:
    try:
        compiled(pattern)
    except CelError as e:
        yield invalid(path.child("pattern"), pattern, f"must be a valid regular expression, but isn't: {e}")


def _nested(nested: Schema, outer: Schema, outer_path: Path, path: Path, skip_any_of: bool) -> Iterator[Problem]:
    for key, sentence in _FORBIDDEN_NESTED.items():
        if nested.get(key):
            yield forbidden(path.child(key), sentence)
    properties = outer.get("properties") or {}
    for name, below in (nested.get("properties") or {}).items():
        where = path.child("properties").key(name)
        if name == "metadata":
            yield forbidden(where, "must not be specified in a nested context")
        inner, place = properties.get(name), outer_path.child("properties").key(name)
        if inner is None:
            yield required(place, f"because it is defined in {where}")
            inner = {}
        yield from _nested(below, inner, place, where, False)
    if isinstance(nested.get("items"), dict):
        inner, place = outer.get("items"), outer_path.child("items")
        if not isinstance(inner, dict):
            yield required(place, f"because it is defined in {path.child('items')}")
            inner = {}
        yield from _nested(nested["items"], inner, place, path.child("items"), False)
    for key in _JUNCTORS:
        if key == "anyOf" and skip_any_of:
            continue
        for at, each in enumerate(nested.get(key) or ()):
            yield from _nested(each, outer, outer_path, path.child(key).index(at), False)
    if isinstance(nested.get("not"), dict):
        yield from _nested(nested["not"], outer, outer_path, path.child("not"), False)
    if pattern := nested.get("pattern"):
        yield from _pattern(pattern, path)


def _defaults(node: structural.Node, path: Path) -> Iterator[Problem]:
    """A default must be pruned and valid itself."""
    if node.default is not structural.UNSET:
        value = copied(node.default)
        unknown = structural.prune(value, node, envelope=node.embedded)
        if unknown:
            yield invalid(path.child("default"), go_value(node.default), "must not have unknown fields")
        structural.fill_defaults(value, node)
        for problem in check(node.schema, value, "default"):
            where = f"{path}.{problem.path}" if problem.path != "<nil>" else f"{path}.default"
            yield Problem(problem.type, where, problem.message)
    for name, below in node.properties.items():
        yield from _defaults(below, path.child("properties").key(name))
    if isinstance(node.extra, structural.Node):
        yield from _defaults(node.extra, path.child("additionalProperties"))
    if node.items is not None:
        yield from _defaults(node.items, path.child("items"))
