"""What a version's openAPIV3Schema is refused for: what OpenAPI has and Kubernetes does not, structurality, the
extensions, defaults, CEL rules (apiextensions/validation, apiserver/schema/validation.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from apimachinery.meta.objects import copied
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library.regex import compiled
from controlplane.apiserver.extensions import structural
from controlplane.apiserver.extensions.go_values import SCHEMA_KEYS, go_schema, go_value
from controlplane.apiserver.extensions.list_validation import list_problems, type_must
from controlplane.apiserver.extensions.rule_validation import form_problems, rule_problems
from controlplane.apiserver.extensions.rules import Rules
from controlplane.apiserver.extensions.values import ABSENT, check

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
_META = ("apiVersion", "kind", "metadata")
_AT_ROOT = (
    *("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum"),
    *("MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items"),
    *("Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations"),
)
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
    common = list(_common(schema, path, _Place(root=True)))
    structural_ = sorted(_structural(schema, path, ROOT), key=str)
    if common or structural_:
        return structural_ + common
    return list(_defaults(structural.build(schema), path)) or rule_problems(schema, path)


def root_problems(schema: Schema, path: Path, *, has_status: bool) -> list[Problem]:
    """What the root of a schema may not have. has_status: the status is a subresource of its own."""
    problems: list[Problem] = []
    given = [go for go, key in SCHEMA_KEYS if schema.get(key) not in (None, "", False)] if has_status else []
    for go in given:
        if go == "Type" and schema["type"] != "object":
            text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            problems.append(invalid(path.child("type"), schema["type"], text))
            break
        if go not in _AT_ROOT:
            text = f"only [{' '.join(_AT_ROOT)}] fields are allowed at the root of the schema if the status subresource"
            problems.append(invalid(path, go_schema(schema), f"{text} is enabled"))
            break
    if schema.get("nullable"):
        problems.append(forbidden(path.child("nullable"), "nullable cannot be true at the root"))
    return problems


class _Place(Struct, frozen=True):
    """root: of the whole schema. in_meta: below kind, apiVersion or metadata of an object. no_default: why none may be
    set here."""

    root: bool = False
    in_meta: bool = False
    no_default: str = ""


def _common(schema: Schema, path: Path, place: _Place) -> Iterator[Problem]:
    """Rules of every node, nested ones too."""
    kind = schema.get("type")
    if kind and kind not in _TYPES:
        yield not_supported(path.child("type"), kind, _TYPES)
    if schema.get("default") is not None and place.no_default:
        yield forbidden(path.child("default"), f"must not be set {place.no_default}")
    for key in _UNSUPPORTED:
        if schema.get(key):
            yield forbidden(path.child(key), f"{key} is not supported")
    if kind == "null":
        yield forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        yield forbidden(path.child("items"), "items must be a schema object and not an array")
    if place.in_meta and schema.get("x-kubernetes-embedded-resource"):
        yield forbidden(path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(path.child("uniqueItems"), text)
    more = schema.get("additionalProperties")
    if more is not None and schema.get("properties") and more is not True:
        yield forbidden(path.child("additionalProperties"), "additionalProperties and properties are mutual exclusive")
    yield from _commons_below(schema, path, place)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(path.child("x-kubernetes-preserve-unknown-fields"), False, "must be true or undefined")
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None and kind != "object":
        yield type_must("be object if x-kubernetes-map-type is specified", kind, path)
    if map_type is not None and map_type not in ("atomic", "granular"):
        yield not_supported(path.child("x-kubernetes-map-type"), map_type, ["atomic", "granular"])
    yield from list_problems(schema, path)
    yield from form_problems(schema, path)


def _commons_below(schema: Schema, path: Path, place: _Place) -> Iterator[Problem]:
    inner = _Place(in_meta=place.in_meta, no_default=place.no_default)
    more, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(more, dict):
        why = "inside additionalProperties applying to object metadata" if place.in_meta else place.no_default
        yield from _common(more, path.child("additionalProperties"), _Place(in_meta=place.in_meta, no_default=why))
    envelope = place.root or bool(schema.get("x-kubernetes-embedded-resource"))
    for name, below in (schema.get("properties") or {}).items():
        below_place = inner
        if envelope and name in _META:
            why = f"in top-level {name}" if place.root else place.no_default
            below_place = _Place(in_meta=True, no_default=why)
        yield from _common(below, path.child("properties").key(name), below_place)
    if isinstance(schema.get("not"), dict):
        yield from _common(schema["not"], path.child("not"), inner)
    for key in ("allOf", "oneOf", "anyOf"):
        for at, each in enumerate(schema.get(key) or ()):
            yield from _common(each, path.child(key).index(at), inner)
    if isinstance(items, dict):
        yield from _common(items, path.child("items"), inner)


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
    others = {key for key, value in metadata.items() if value and key not in ("type", "properties", "default")}
    if level == ROOT and (others or set(metadata.get("properties") or ()) - {"name", "generateName"}):
        yield forbidden(
            where, "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )


def _junctors(schema: Schema, path: Path, level: str) -> Iterator[Problem]:
    """Value validations that are nested may restrict what the structure has, and add nothing to it."""
    for key in _JUNCTORS:
        # The types of an integer or a text may be named wherever both are.
        if key == "anyOf" and schema.get(key) == _INT_OR_STRING:
            continue
        for at, each in enumerate(schema.get(key) or ()):
            skip = key == "allOf" and at == 0 and each.get("anyOf") == _INT_OR_STRING
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
        # The default is the root of what is judged: it has no name in the sentences.
        where = str(path.child("default"))
        for problem in check(node.schema, value, "") or _default_by_rules(node, value):
            inside = "" if problem.path == "<nil>" else problem.path
            dot = "." if inside and not inside.startswith("[") else ""
            yield Problem(problem.type, f"{where}{dot}{inside}", problem.message)
    for name, below in node.properties.items():
        yield from _defaults(below, path.child("properties").key(name))
    if isinstance(node.extra, structural.Node):
        yield from _defaults(node.extra, path.child("additionalProperties"))
    if node.items is not None:
        yield from _defaults(node.items, path.child("items"))


def _default_by_rules(node: structural.Node, value: Any) -> list[Problem]:
    """The CEL rules over a default, as a value that was there before and as one that was not."""
    rules = Rules.of(node.schema, root=node.embedded)
    return (rules.check(value, value, None) or rules.check(value, ABSENT, None)) if rules is not None else []
