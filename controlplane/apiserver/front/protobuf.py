"""Reading Kubernetes' protobuf, which stock kubectl sends from its typed commands (create, auth, …).

The envelope is "k8s\\0" and runtime.Unknown: the type, and the object's bytes. The result is the JSON document the same
client would have sent. Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf;
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from apimachinery.api.go_types import message, short
from apimachinery.meta import status, times
from controlplane.apiserver.front.protobuf_messages import (
    INT_OR_STRING,
    MAGIC,
    MEDIA,
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

MAX_DEPTH = 100

Object = dict[str, Any]

_TIMES = {TIME: times.rfc3339, MICRO_TIME: times.rfc3339_micro}


class _Malformed(ValueError):
    """The bytes are no such message."""


def decode(body: bytes) -> Object:
    """The document in an enveloped body. Raises ApiError 400 (malformed), 415 (a kind that has no protobuf)."""
    if not body.startswith(MAGIC):
        sentence = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        raise status.bad_request(sentence)
    try:
        api_version = kind = ""
        raw = b""
        for number, value in fields_of(body[len(MAGIC) :]):
            if number == 1:
                for inner, word in fields_of(_bytes(value)):
                    if inner == 1:
                        api_version = _text(word)
                    elif inner == 2:
                        kind = _text(word)
            elif number == 2:
                raw = _bytes(value)
        definition = definition_of(api_version, kind)
        if not definition:
            raise status.unsupported_media_type(MEDIA, ("application/json", "application/yaml"))
        about = {"apiVersion": api_version, "kind": kind} if api_version else {"kind": kind}
        return {**about, **_message(raw, short(definition), schema_of(definition), 0)}
    except (_Malformed, UnicodeDecodeError, OverflowError, orjson.JSONDecodeError) as error:
        raise status.bad_request(f"the protobuf body could not be read: {error}") from None


def _message(data: bytes, name: str, schema: Schema, depth: int) -> Object:
    """The JSON object of a message; `schema` is the definition whose properties its fields are."""
    if depth > MAX_DEPTH:
        raise _Malformed("nested too deeply")
    known = message(name)
    if known is None:
        raise _Malformed(f"{name} has no protobuf form here")
    found: Object = {}
    properties = schema.get("properties", {})
    for number, value in fields_of(data):
        field = known.get(number)
        if field is None:
            continue
        if field.embedded:
            group = name.rpartition(".")[0]
            found.update(_message(_bytes(value), f"{group}.{field.name}", schema, depth + 1))
            continue
        below = properties.get(field.name)
        if below is None:
            continue
        kind = below.get("type")
        if kind == "array":
            items = found.setdefault(field.name, [])
            for part in (each for _, each in fields_of(_bytes(value))) if field.wrapped else (value,):
                items.extend(_items(part, below["items"], depth))
        elif kind == "object" and "additionalProperties" in below:
            key, entry = _entry(_bytes(value), below["additionalProperties"], depth)
            found.setdefault(field.name, {})[key] = entry
        else:
            plain = _value(value, below, depth)
            if plain is None or (plain in ("", 0, False) and not field.pointer and not field.always):
                continue  # Go's zero, which JSON leaves out
            found[field.name] = plain
    return found


def _items(value: int | bytes, schema: Schema, depth: int) -> Iterator[Any]:
    if isinstance(value, bytes) and schema.get("type") in ("integer", "boolean", "number"):
        position = 0
        while position < len(value):  # packed
            number, position = _varint(value, position)
            yield _value(number, schema, depth)
    else:
        yield _value(value, schema, depth)


def _entry(data: bytes, schema: Schema, depth: int) -> tuple[str, Any]:
    key = ""
    value: Any = None
    for number, part in fields_of(data):
        if number == 1:
            key = _text(part)
        elif number == 2:
            if schema.get("type") == "array":
                # A map of lists goes over a message that holds the list (authentication's ExtraValue).
                value = [item for _, each in fields_of(_bytes(part)) for item in _items(each, schema["items"], depth)]
            else:
                value = _value(part, schema, depth)
    if value is None:
        value = [] if schema.get("type") == "array" else "" if schema.get("type") == "string" else {}
    return key, value


def _value(value: int | bytes, schema: Schema, depth: int) -> Any:
    """One value of a schema; None for a time that is not set."""
    reference = schema.get("$ref")
    if reference is not None:
        return _referenced(value, reference, depth)
    match schema.get("type"):
        case "string":
            data = _bytes(value)
            return base64.b64encode(data).decode() if schema.get("format") == "byte" else data.decode()
        case "boolean":
            return bool(_number(value))
        case "integer":
            number = _number(value)
            return number - (1 << 64) if number >> 63 else number
        case "number":
            try:
                return struct.unpack("<d", _bytes(value))[0]
            except struct.error as error:
                raise _Malformed(str(error)) from None
        case _:
            raise _Malformed("a value without a protobuf form")


def _referenced(value: int | bytes, reference: str, depth: int) -> Any:
    data = _bytes(value)
    if reference == QUANTITY:
        return next((_text(text) for number, text in fields_of(data) if number == 1), "")
    if reference in _TIMES:
        parts = dict(fields_of(data))
        if not parts:
            return None
        seconds, nanos = _signed(parts.get(1, 0)), _signed(parts.get(2, 0))
        try:
            return _TIMES[reference](datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000))
        except (ValueError, OSError) as error:
            raise _Malformed(str(error)) from None
    if reference == INT_OR_STRING:
        parts = dict(fields_of(data))
        return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))
    if reference in RAW:
        raw = next((_bytes(text) for number, text in fields_of(data) if number == 1), b"")
        return orjson.loads(raw) if raw else None
    if reference in (OR_ARRAY, OR_BOOL, OR_STRINGS):
        return _schema_or(data, reference, depth)
    return _message(data, short(reference), schema_of(reference), depth + 1)


def _schema_or(data: bytes, reference: str, depth: int) -> Any:
    """JSON's schema, or what is simpler in its place: a list of schemas, a boolean, a list of strings."""
    props = schema_of(SCHEMA_PROPS)
    parts = [(number, value) for number, value in fields_of(data)]
    place = 2 if reference == OR_BOOL else 1
    for number, value in parts:
        if number == place:
            return _message(_bytes(value), short(SCHEMA_PROPS), props, depth + 1)
    if reference == OR_BOOL:
        return any(number == 1 and value for number, value in parts)
    rest = [value for number, value in parts if number == 2]
    if reference == OR_ARRAY:
        return [_message(_bytes(value), short(SCHEMA_PROPS), props, depth + 1) for value in rest]
    return [_text(value) for value in rest]


def fields_of(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an integer, or bytes. Raises ValueError."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _Malformed(f"wire type {kind}")
        if position + length > end:
            raise _Malformed("unexpected EOF")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise _Malformed("a number that does not end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Malformed("a number where bytes belong")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _Malformed("bytes where a number belongs")
    return value


def _signed(value: int | bytes) -> int:
    number = _number(value)
    return number - (1 << 64) if number >> 63 else number
