"""Protocol buffers by hand: the few lines that spare us a generated module for tiny messages.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def encode_strings(field: int, values: list[str]) -> bytes:
    """A `repeated string` as field `field`."""
    out = bytearray()
    for value in values:
        data = value.encode()
        out += encode_varint(field << 3 | _BYTES) + encode_varint(len(data)) + data
    return bytes(out)


def encode_bytes(field: int, value: bytes) -> bytes:
    """A `bytes` or `string` as field `field`; nothing for an empty one, as proto3 has it."""
    return encode_varint(field << 3 | _BYTES) + encode_varint(len(value)) + value if value else b""


def encode_map(field: int, values: Mapping[str, bytes]) -> bytes:
    """A `map<string, bytes>` as field `field`, by key."""
    entries = (encode_bytes(1, key.encode()) + encode_bytes(2, values[key]) for key in sorted(values))
    return b"".join(encode_varint(field << 3 | _BYTES) + encode_varint(len(each)) + each for each in entries)


def map_entry(data: bytes) -> tuple[str, bytes]:
    """Key and value of one entry of a `map<string, bytes>`. Raises ValueError."""
    found: dict[int, int | bytes] = dict(fields(data))
    key, value = found.get(1, b""), found.get(2, b"")
    if isinstance(key, int) or isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return key.decode(), value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) in order: an int for varints and fixed widths, bytes for everything with a length.

    Raises ValueError when the bytes are no message.
    """
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            number, at = read_varint(data, at)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            size, at = read_varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"message ends inside field {tag >> 3}")
        value = data[at : at + size]
        at += size
        yield tag >> 3, value if kind == _BYTES else int.from_bytes(value, "little")


def encode_varint(number: int) -> bytes:
    """A number of up to 64 bits, not negative, seven bits a byte."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends. Raises ValueError."""
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError(f"bad varint at byte {at}")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7
