"""Untyped values, versions and schemas of a definition as Go prints them with %#v in a message."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from apimachinery.meta.paths import Verbatim
from controlplane.apiserver.cel.operators import go_float


def go_value(value: Any) -> Any:
    """A scalar as it is (messages know how to show it); an object or a list as Go's literal."""
    return Verbatim(_literal(value)) if isinstance(value, dict | list) else value


def _literal(value: Any) -> str:
    match value:
        case None:
            return "interface {}(nil)"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return go_float(value)
        case dict():
            return (
                "map[string]interface {}{"
                + ", ".join(f"{_literal(k)}:{_literal(value[k])}" for k in sorted(value))
                + "}"
            )
        case list():
            return "[]interface {}{" + ", ".join(map(_literal, value)) + "}"
    return str(value)


_LARGEST = 64 * 1024
_SOMEWHERE = "0xc000000000"
"""What is pointed at has some address."""
_COLUMN_FIELDS = (("Name", "name"), ("Type", "type"), ("Format", "format"), ("Description", "description"))
# The fields of JSONSchemaProps in Go's order: s a text, b a boolean, m a map of schemas; with a kind: p a pointer, l a
# list, n a named map or list.
_SCHEMA_FIELDS = (
    *(("ID", "id", "s"), ("Schema", "$schema", "s"), ("Ref", "$ref", "p string"), ("Description", "description", "s")),
    *(("Type", "type", "s"), ("Nullable", "nullable", "b"), ("Format", "format", "s"), ("Title", "title", "s")),
    *(("Default", "default", "p apiextensions.JSON"), ("Maximum", "maximum", "p float64")),
    *(("ExclusiveMaximum", "exclusiveMaximum", "b"), ("Minimum", "minimum", "p float64")),
    *(("ExclusiveMinimum", "exclusiveMinimum", "b"), ("MaxLength", "maxLength", "p int64")),
    *(("MinLength", "minLength", "p int64"), ("Pattern", "pattern", "s"), ("MaxItems", "maxItems", "p int64")),
    *(
        ("MinItems", "minItems", "p int64"),
        ("UniqueItems", "uniqueItems", "b"),
        ("MultipleOf", "multipleOf", "p float64"),
    ),
    *(("Enum", "enum", "l apiextensions.JSON"), ("MaxProperties", "maxProperties", "p int64")),
    *(("MinProperties", "minProperties", "p int64"), ("Required", "required", "l string")),
    *(
        ("Items", "items", "p apiextensions.JSONSchemaPropsOrArray"),
        ("AllOf", "allOf", "l apiextensions.JSONSchemaProps"),
    ),
    *(("OneOf", "oneOf", "l apiextensions.JSONSchemaProps"), ("AnyOf", "anyOf", "l apiextensions.JSONSchemaProps")),
    *(("Not", "not", "p apiextensions.JSONSchemaProps"), ("Properties", "properties", "m")),
    ("AdditionalProperties", "additionalProperties", "p apiextensions.JSONSchemaPropsOrBool"),
    ("PatternProperties", "patternProperties", "m"),
    ("Dependencies", "dependencies", "n apiextensions.JSONSchemaDependencies"),
    ("AdditionalItems", "additionalItems", "p apiextensions.JSONSchemaPropsOrBool"),
    ("Definitions", "definitions", "n apiextensions.JSONSchemaDefinitions"),
    ("ExternalDocs", "externalDocs", "p apiextensions.ExternalDocumentation"),
    ("Example", "example", "p apiextensions.JSON"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", "p bool"),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", "b"),
    ("XIntOrString", "x-kubernetes-int-or-string", "b"),
    ("XListMapKeys", "x-kubernetes-list-map-keys", "l string"),
    ("XListType", "x-kubernetes-list-type", "p string"),
    ("XMapType", "x-kubernetes-map-type", "p string"),
    ("XValidations", "x-kubernetes-validations", "n apiextensions.ValidationRules"),
)
SCHEMA_KEYS = tuple((go, key) for go, key, _ in _SCHEMA_FIELDS)
"""The fields of a schema in Go's order: Go's name, and the name in JSON."""


def go_versions(versions: list[dict[str, Any]] | None, shared: Collection[str]) -> Verbatim:
    """The versions of a definition. shared: what is the same in all of them, and kept elsewhere by upstream."""
    shown = []
    for each in versions or ():
        own = {key: value for key, value in each.items() if key not in shared}
        fields = [f'Name:"{each.get("name", "")}"']
        fields += [f"{go}:{_literal(bool(each.get(go.lower())))}" for go in ("Served", "Storage", "Deprecated")]
        fields.append(_pointer("DeprecationWarning", own.get("deprecationWarning"), "string"))
        fields.append(_pointer("Schema", own.get("schema"), "apiextensions.CustomResourceValidation"))
        fields.append(_pointer("Subresources", own.get("subresources"), "apiextensions.CustomResourceSubresources"))
        columns = [_column(column) for column in own.get("additionalPrinterColumns") or ()]
        fields.append("AdditionalPrinterColumns:" + _list("apiextensions.CustomResourceColumnDefinition", columns))
        paths = [f'{{JSONPath:"{field.get("jsonPath", "")}"}}' for field in own.get("selectableFields") or ()]
        fields.append("SelectableFields:" + _list("apiextensions.SelectableField", paths))
        shown.append(f"{{{', '.join(fields)}}}")
    kind = "apiextensions.CustomResourceDefinitionVersion"
    # A list that somebody wrote empty is no nil.
    return Verbatim(_list(kind, shown) if shown or versions is None else f"[]{kind}{{}}")


def go_schema(schema: Mapping[str, Any]) -> Verbatim:
    """A JSONSchemaProps; of one larger than 64 KiB (Go prints forty fields of every node), only that it is one."""
    large = len(json.dumps(schema)) > _LARGEST
    return Verbatim("apiextensions.JSONSchemaProps" + ("{...}" if large else _schema(schema)))


def _schema(schema: Mapping[str, Any]) -> str:
    return "{" + ", ".join(_field(go, schema.get(key), kind) for go, key, kind in _SCHEMA_FIELDS) + "}"


def _field(go: str, value: Any, form: str) -> str:
    way, _, kind = form.partition(" ")
    match way:
        case "s" | "b":
            return f"{go}:{_literal(value if value is not None else '' if way == 's' else False)}"
        case "p":
            return _pointer(go, value, kind)
        case "m":
            if value is None:
                return f"{go}:map[string]apiextensions.JSONSchemaProps(nil)"
            inner = (f"{_literal(name)}:apiextensions.JSONSchemaProps{_schema(value[name])}" for name in sorted(value))
            return f"{go}:map[string]apiextensions.JSONSchemaProps{{{', '.join(inner)}}}"
        case "n":
            return f"{go}:{kind}{'(nil)' if value is None else '{...}'}"
    of_schemas = kind == "apiextensions.JSONSchemaProps"
    shown = [_schema(each) if of_schemas else _literal(each) for each in value or ()]
    return f"{go}:[]{kind}(nil)" if value is None else f"{go}:[]{kind}{{{_joined(kind, shown, of_schemas)}}}"


def _joined(kind: str, shown: list[str], typed: bool) -> str:
    return ", ".join(f"{kind}{each}" if typed else each for each in shown)


def _pointer(go: str, value: Any, kind: str) -> str:
    return f"{go}:(*{kind})({'nil' if value is None else _SOMEWHERE})"


def _list(kind: str, shown: list[str]) -> str:
    return f"[]{kind}{{{_joined(kind, shown, True)}}}" if shown else f"[]{kind}(nil)"


def _column(column: Mapping[str, Any]) -> str:
    fields = [f"{go}:{_literal(column.get(key) or '')}" for go, key in _COLUMN_FIELDS]
    path = _literal(column.get("jsonPath") or "")
    return f"{{{', '.join(fields)}, Priority:{column.get('priority') or 0}, JSONPath:{path}}}"
