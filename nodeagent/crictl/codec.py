"""Messages of the CRI to bytes and back, by the table in `schema`. A message is a dict with the proto's field names.

Reading fills in what was not sent, as protojson's EmitDefaultValues does: scalars, lists and maps have their empty
value, an absent message is absent.
"""

from __future__ import annotations

import binascii

from apimachinery.kit.protowire import encode_varint, fields

from .schema import ENUMS, MESSAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

_EMPTY: dict[str, Any] = {"s": "", "b": False, "i": 0, "I": 0, "u": 0, "U": 0, "y": b""}
_LENGTH = 2  # the wire type of strings, bytes and messages


class _Layout:
    """A message's fields, by number and by name. (number, name, type, repeated)"""

    def __init__(self, text: str) -> None:
        self.by_number: dict[int, tuple[str, str, bool]] = {}
        self.by_name: dict[str, tuple[int, str, bool]] = {}
        for part in text.split():
            name, number, kind = part.split(":")
            bare = kind.lstrip("*")
            self.by_number[int(number)] = name, bare, bare != kind
            self.by_name[name] = int(number), bare, bare != kind


_layouts: dict[str, _Layout] = {}


def layout(message: str) -> _Layout:
    """The layout of a message by its name."""
    found = _layouts.get(message)
    if found is None:
        found = _layouts[message] = _Layout(MESSAGES[message])
    return found


def encode(message: str, content: Message) -> bytes:
    """Bytes of a message. Raises ValueError for fields it does not have and values that do not fit."""
    out = bytearray()
    known = layout(message).by_name
    for name, value in content.items():
        if value is None:
            continue
        if name not in known:
            raise ValueError(f'unknown field "{name}" of {message}')
        number, kind, repeated = known[name]
        if kind == "{s":
            for key, text in value.items():
                out += _field(number, "s", b"".join((_field(1, "s", str(key)), _field(2, "s", str(text)))), raw=True)
        elif repeated:
            for each in value:
                out += _field(number, kind, each)
        else:
            out += _field(number, kind, value)
    return bytes(out)


def _field(number: int, kind: str, value: Any, *, raw: bool = False) -> bytes:
    if raw or kind in ("s", "y") or kind in MESSAGES:
        data = value if raw or kind == "y" else value.encode() if kind == "s" else encode(kind, value)
        return encode_varint(number << 3 | _LENGTH) + encode_varint(len(data)) + data
    if kind in ENUMS:
        value = ENUMS[kind].index(value) if isinstance(value, str) else int(value)
    return encode_varint(number << 3) + encode_varint(int(value) & 0xFFFFFFFFFFFFFFFF)


def decode(message: str, data: bytes) -> Message:
    """The message in `data`, in the order of its definition. Raises ValueError."""
    known = layout(message)
    result: Message = {}
    for name, (_, kind, repeated) in known.by_name.items():
        if repeated:
            result[name] = []
        elif kind == "{s":
            result[name] = {}
        elif kind in _EMPTY:
            result[name] = _EMPTY[kind]
        elif kind in ENUMS:
            result[name] = ENUMS[kind][0]
        else:
            result[name] = None
    for number, value in fields(data):
        if number not in known.by_number:
            continue
        name, kind, repeated = known.by_number[number]
        if kind == "{s":
            pair = dict(fields(_bytes(value)))
            result[name][_text(pair.get(1, b""))] = _text(pair.get(2, b""))
        elif not repeated:
            result[name] = _value(kind, value)
        elif isinstance(value, bytes) and kind in ("i", "I", "u", "U", "b"):
            result[name].extend(_packed(kind, value))
        else:
            result[name].append(_value(kind, value))
    return {name: entry for name, entry in result.items() if entry is not None}


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where a message was expected")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode("utf-8", "replace")


def _value(kind: str, value: int | bytes) -> Any:
    if kind == "s":
        return _text(value)
    if kind == "y":
        return _bytes(value)
    if kind in MESSAGES:
        return decode(kind, _bytes(value))
    if isinstance(value, bytes):
        raise ValueError("bytes where a number was expected")
    if kind == "b":
        return bool(value)
    if kind in ENUMS:
        names = ENUMS[kind]
        return names[value] if value < len(names) else value
    if kind == "I" and value >= 1 << 63:
        return value - (1 << 64)
    if kind == "i" and value >= 1 << 31:
        return (value & 0xFFFFFFFF) - (1 << 32)
    return value


def _packed(kind: str, data: bytes) -> list[Any]:
    found, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(_value(kind, number))
            number = shift = 0
    return found


def to_json(message: str, content: Message) -> dict[str, Any]:
    """The message as protojson writes it: lowerCamelCase names, 64-bit numbers and bytes as strings."""
    known = layout(message).by_name
    return {camel(name): _json(known[name][1], value) for name, value in content.items()}


def _json(kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_json(kind, each) for each in value]
    if kind in MESSAGES:
        return to_json(kind, value)
    if kind in ("I", "U"):
        return str(value)
    if kind == "y":
        return binascii.b2a_base64(value, newline=False).decode()
    return value


def camel(name: str) -> str:
    """`pod_sandbox_id` as protojson calls it."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def from_json(message: str, content: Any) -> Message:
    """A configuration file's object as a message: proto names or JSON names, in any case, as Go's decoder takes them.

    What the message does not have is passed over, as there. Raises ValueError for values of the wrong type."""
    if not isinstance(content, dict):
        raise ValueError(f"json: cannot unmarshal into Go value of type v1.{message}")
    known = layout(message).by_name
    names = {name.lower(): name for name in known} | {camel(name).lower(): name for name in known}
    result: Message = {}
    for key, value in content.items():
        name = names.get(str(key).lower())
        if name is None or value is None:
            continue
        _, kind, repeated = known[name]
        if repeated:
            if not isinstance(value, list):
                raise ValueError(f"json: cannot unmarshal into Go struct field {message}.{key} of type list")
            result[name] = [_from_json(message, key, kind, each) for each in value]
        elif kind == "{s":
            result[name] = {str(index): str(text) for index, text in dict(value).items()}
        else:
            result[name] = _from_json(message, key, kind, value)
    return result


def _from_json(message: str, key: str, kind: str, value: Any) -> Any:
    if kind in MESSAGES:
        return from_json(kind, value)
    fits: type = {"s": str, "b": bool, "y": str}.get(kind, int)
    if kind in ENUMS and isinstance(value, str):
        if value not in ENUMS[kind]:
            raise ValueError(f"json: cannot unmarshal string into Go struct field {message}.{key} of type v1.{kind}")
        return value
    if not isinstance(value, fits) or (fits is int and isinstance(value, bool)):
        raise ValueError(f"json: cannot unmarshal into Go struct field {message}.{key} of type {fits.__name__}")
    return binascii.a2b_base64(str(value)) if kind == "y" else value
