"""A structural schema as CEL types (k8s.io/apiserver/pkg/cel/common/schemas.go; escaping: pkg/cel/escaping.go)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.lexer import RESERVED
from controlplane.apiserver.cel.library import times
from controlplane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
)
from controlplane.apiserver.cel.values import MapList, SetList

Schema = Mapping[str, Any]
Reader = Callable[[Any], Any]

_KEYWORDS = RESERVED | {"true", "false", "null", "in", "namespace"}
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_FIELD_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_META = ObjectType("object", fields={name: Field(name, STRING) for name in ("name", "generateName")}, sparse=True)


def escape(name: str) -> str | None:
    """The name by which an expression knows a field; None for one it cannot name."""
    if name in _KEYWORDS:
        return f"__{name}__"
    escaped = ""
    at = 0
    while at < len(name):
        for plain, spelled in _ESCAPES:
            if name.startswith(plain, at):
                escaped += spelled
                at += len(plain)
                break
        else:
            escaped += name[at]
            at += 1
    return escaped if _FIELD_NAME.fullmatch(escaped) else None


def declared(schema: Schema, *, root: bool = False) -> tuple[Type | None, Reader | None]:
    """The type of a node (None: expressions cannot see it), and what makes the stored value one of it."""
    if schema.get("x-kubernetes-int-or-string"):
        return DYN, None
    match schema.get("type"):
        case "array":
            item, read = declared(schema.get("items") or {})
            return (None, None) if item is None else (list_of(item), _list_reader(schema, _each(read)))
        case "object":
            return _object(schema, root or bool(schema.get("x-kubernetes-embedded-resource")))
        case "string":
            return _string(schema.get("format") or "")
        case "boolean":
            return BOOL, None
        case "integer":
            return INT, _whole
        case "number":
            return DOUBLE, float
    return None, None


def _object(schema: Schema, whole: bool) -> tuple[Type | None, Reader | None]:
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        value, read = declared(more)
        return (None, None) if value is None else (map_of(STRING, value), _values(read))
    if more is True and not schema.get("properties"):
        return None, None
    fields: dict[str, Field] = {}
    for name, below in (schema.get("properties") or {}).items():
        spelled = escape(name)
        kind, read = declared(below)
        if spelled is not None and kind is not None:
            fields[spelled] = Field(name, kind, read)
    if whole:
        if not describes_metadata(schema):
            fields |= {name: Field(name, STRING) for name in ("apiVersion", "kind")}
            fields["metadata"] = Field("metadata", _META)
    elif not fields and schema.get("x-kubernetes-preserve-unknown-fields"):
        return ObjectType("object"), None
    return ObjectType("object", fields=fields, sparse=True), None


def describes_metadata(schema: Schema) -> bool:
    """Whether a schema itself says what a whole object has, metadata's two names included: then it is what counts."""
    properties = schema.get("properties") or {}
    about = properties.get("metadata") or {}
    inner = about.get("properties") or {}
    texts = [properties.get("apiVersion"), properties.get("kind"), inner.get("name"), inner.get("generateName")]
    return about.get("type") == "object" and all(each is not None and each.get("type") == "string" for each in texts)


def _list_reader(schema: Schema, items: Reader | None) -> Reader | None:
    """What makes a list of scalars or objects one whose order says nothing, where the schema calls it that."""
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return lambda values: SetList(values if items is None else items(values))
        case "map":
            keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            return lambda values: MapList(values if items is None else items(values), keys)
    return items


def _string(form: str) -> tuple[Type, Reader | None]:
    if form == "byte":
        return BYTES, _bytes
    if form == "duration":
        return DURATION, times.duration
    if form in ("date", "date-time"):
        return TIMESTAMP, _moment
    return STRING, None


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, TypeError):
        raise CelError("invalid base64") from None


def _moment(text: Any) -> Any:
    return times.timestamp_of(f"{text}T00:00:00Z" if len(text) == 10 else text)


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float else value


def _each(read: Reader | None) -> Reader | None:
    if read is None or read is _whole:
        return None
    return lambda values: [None if value is None else read(value) for value in values]


def _values(read: Reader | None) -> Reader | None:
    if read is None or read is _whole:
        return None
    return lambda values: {key: None if value is None else read(value) for key, value in values.items()}
