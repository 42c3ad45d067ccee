"""Writing objects in Kubernetes' protobuf, byte for byte as the generated Go code of a real server does.

Go writes a field that is no pointer even when it is zero, or absent in JSON; fields go by their numbers, maps by their
keys. A message is turned into a list of closures at its first use, so that an object costs one pass over its fields.
Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf; the marshallers that gogo/protobuf generates.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import orjson

from apimachinery.api.go_types import Field, message, short
from apimachinery.kit.protowire import encode_varint
from apimachinery.meta import times
from controlplane.apiserver.front.protobuf_messages import (
    INT_OR_STRING,
    MAGIC,
    MICRO_TIME,
    OR_ARRAY,
    OR_BOOL,
    OR_STRINGS,
    QUANTITY,
    RAW,
    SCHEMA_PROPS,
    TIME,
    Schema,
    definition_of,
    schema_of,
)

Object = dict[str, Any]
Write = Callable[[Any], bytes]

_TAIL = b'\x1a\x00"\x00'  # contentEncoding and contentType of runtime.Unknown, which are never set
_EMBEDDED = ""
_DOUBLE = struct.Struct("<d").pack
_ZERO_TIME = "0001-01-01T00:00:00Z"


def has_form(api_version: str, kind: str) -> bool:
    """Whether objects of the kind can be written."""
    return bool(definition_of(api_version, kind))


def encode(obj: Object) -> bytes:
    """The object in its envelope. Raises KeyError for a kind that has no form in protobuf."""
    api_version, kind = obj.get("apiVersion", ""), obj["kind"]
    return enveloped(api_version, kind, _payload(api_version, kind)(obj))


def enveloped(api_version: str, kind: str, payload: bytes) -> bytes:
    """A message in the envelope of all answers (runtime.Unknown)."""
    return MAGIC + _type_meta(api_version, kind) + _delimited(b"\x12", payload) + _TAIL


def item(api_version: str, kind: str) -> Write:
    """How objects of a kind are written as items of a list. Raises KeyError."""
    write = _payload(api_version, kind)
    return lambda obj: _delimited(b"\x12", write(obj))


def list_head(api_version: str, kind: str, metadata: Mapping[str, Any], size: int) -> tuple[bytes, bytes]:
    """What comes before and after the items of a list; size: the bytes of all items."""
    meta = _delimited(b"\x0a", _message("meta.v1.ListMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")(metadata))
    return MAGIC + _type_meta(api_version, kind) + b"\x12" + _varint(len(meta) + size) + meta, _TAIL


def object_meta(metadata: Object) -> bytes:
    """The message of an object's metadata, for messages that are written by hand."""
    return _message("meta.v1.ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")(metadata)


def watch_event(kind: str, obj: Object) -> bytes:
    """A message of a watch: its length in four bytes, then metav1.WatchEvent with the object in its envelope."""
    event = _delimited(b"\x0a", kind.encode()) + _delimited(b"\x12", _delimited(b"\x0a", encode(obj)))
    return len(event).to_bytes(4) + event


@lru_cache(maxsize=256)
def _type_meta(api_version: str, kind: str) -> bytes:
    return _delimited(b"\x0a", _delimited(b"\x0a", api_version.encode()) + _delimited(b"\x12", kind.encode()))


@lru_cache(maxsize=256)
def _payload(api_version: str, kind: str) -> Write:
    definition = definition_of(api_version, kind)
    if not definition:
        raise KeyError(f"{api_version} {kind}")
    return _message(short(definition), definition)


@cache
def _message(name: str, definition: str) -> Write:
    """definition: whose properties the fields are; for an embedded message the outer one's."""
    fields: list[tuple[str, Write, bytes]] = []

    def plain(obj: Object) -> bytes:
        get = obj.get
        return b"".join([absent if (value := get(key)) is None else write(value) for key, write, absent in fields])

    def outer(obj: Object) -> bytes:
        get = obj.get
        return b"".join(
            [
                write(obj) if key == _EMBEDDED else absent if (value := get(key)) is None else write(value)
                for key, write, absent in fields
            ]
        )

    write_all: list[Write] = []

    def first(obj: Object) -> bytes:
        # Not before: messages contain themselves.
        if not fields:
            fields.extend(_fields(name, definition))
        write_all[0] = outer if any(key == _EMBEDDED for key, _, _ in fields) else plain
        return write_all[0](obj)

    write_all.append(first)
    return lambda obj: write_all[0](obj)


def _fields(name: str, definition: str) -> list[tuple[str, Write, bytes]]:
    properties = schema_of(definition).get("properties", {})
    found: list[tuple[str, Write, bytes]] = []
    for at, field in sorted((message(name) or {}).items()):
        if field.embedded:
            inner = _message(f"{name.rpartition('.')[0]}.{field.name}", definition)
            found.append((_EMBEDDED, _tagged(at, inner), b""))
        elif field.name in properties:
            found.append((field.name, *_field(at, field, properties[field.name])))
    return found


def _field(at: int, field: Field, schema: Schema) -> tuple[Write, bytes]:
    """How a field is written, and what it is when absent."""
    if schema.get("type") == "array":
        many = _repeated(1 if field.wrapped else at, schema["items"])
        return (_tagged(at, many) if field.wrapped else many), b""
    if "additionalProperties" in schema:
        return _map(at, schema["additionalProperties"]), b""
    write = _single(at, schema)
    if field.pointer or schema.get("format") == "byte":
        return write, b""
    return write, _zero(at, write, schema)


def _zero(at: int, write: Write, schema: Schema) -> bytes:
    reference = schema.get("$ref")
    if reference in (TIME, MICRO_TIME) or reference in RAW:
        return _tag(at, 2) + b"\x00"
    if reference == QUANTITY:
        return write("0")
    if reference == INT_OR_STRING:
        return write(0)
    if reference is not None:
        return write({})
    return write("" if schema.get("type") == "string" else 0)


def _single(at: int, schema: Schema) -> Write:
    reference = schema.get("$ref")
    if reference is not None:
        return _tagged(at, _referenced(reference))
    match schema.get("type"):
        case "string":
            return _tagged(at, base64.b64decode if schema.get("format") == "byte" else str.encode)
        case "boolean" | "integer":
            tag = _tag(at, 0)
            return lambda value: tag + _varint(int(value))
        case "number":
            return partial(double, at)
        case _:
            raise KeyError(f"a {schema.get('type')} without a form in protobuf")


def _referenced(reference: str) -> Write:
    if reference == QUANTITY:
        return lambda value: _delimited(b"\x0a", str(value).encode())
    if reference in (TIME, MICRO_TIME):
        return _time
    if reference == INT_OR_STRING:
        return _int_or_string
    if reference in RAW:
        return lambda value: _delimited(b"\x0a", orjson.dumps(value))
    if reference in (OR_ARRAY, OR_BOOL, OR_STRINGS):
        return _schema_or(reference)
    return _message(short(reference), reference)


def _repeated(at: int, schema: Schema) -> Write:
    write = _single(at, schema)
    return lambda values: b"".join([write(value) for value in values])


def _map(at: int, schema: Schema) -> Write:
    value_of = _tagged(2, _repeated(1, schema["items"])) if schema.get("type") == "array" else _single(2, schema)
    tag = _tag(at, 2)

    def write(values: Object) -> bytes:
        entries = [_delimited(b"\x0a", key.encode()) + value_of(values[key]) for key in sorted(values)]
        return b"".join([tag + _varint(len(entry)) + entry for entry in entries])

    return write


@lru_cache(maxsize=4096)
def _time(value: str) -> bytes:
    if value == _ZERO_TIME:
        return b""
    moment = times.parse(value)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return b"\x08" + _varint(seconds) + b"\x10" + _varint(moment.microsecond * 1000)


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + _delimited(b"\x1a", value.encode())
    return b"\x08\x00\x10" + _varint(int(value)) + b"\x1a\x00"


def _schema_or(reference: str) -> Write:
    """JSON's schema, or something simpler in its place: a list of schemas, a boolean, a list of strings."""
    props = _message(short(SCHEMA_PROPS), SCHEMA_PROPS)
    schemas = _repeated(2, {"$ref": SCHEMA_PROPS})
    strings = _repeated(2, {"type": "string"})

    def write(value: Any) -> bytes:
        if reference == OR_BOOL:
            allowed = b"\x08\x01" if value is not False else b"\x08\x00"
            return allowed + (_delimited(b"\x12", props(value)) if isinstance(value, dict) else b"")
        if isinstance(value, dict):
            return _delimited(b"\x0a", props(value))
        return schemas(value) if reference == OR_ARRAY else strings(value)

    return write


def _tagged(at: int, payload: Write) -> Write:
    tag = _tag(at, 2)

    def write(value: Any) -> bytes:
        data = payload(value)
        return tag + _varint(len(data)) + data

    return write


def _delimited(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def delimited(at: int, data: bytes) -> bytes:
    """A field of text, bytes, or a message."""
    return _delimited(_tag(at, 2), data)


def number(at: int, value: int) -> bytes:
    """A field of an integer or a boolean."""
    return _tag(at, 0) + _varint(value)


def double(at: int, value: float) -> bytes:
    """A field of a floating-point number."""
    return _tag(at, 1) + _DOUBLE(value)


def _tag(at: int, wire: int) -> bytes:
    return _varint(at << 3 | wire)


def _long_varint(value: int) -> bytes:
    return encode_varint(value & 0xFFFFFFFFFFFFFFFF)


_SHORT: Sequence[bytes] = [_long_varint(value) for value in range(1024)]


def _varint(value: int) -> bytes:
    return _SHORT[value] if 0 <= value < 1024 else _long_varint(value)
