"""Reading HTTP/2's header compression (RFC 7541). Writing needs little of it: literals are always allowed."""

from __future__ import annotations

# Appendix A: the names, and the values where there is one, of the static table, from index 1 on.
_STATIC = (
    ":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|"
    ":status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|"
    "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|"
    "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|"
    "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|"
    "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|"
    "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
# Appendix B: the length in bits of every symbol's code, 0 to 255, then the end of the string. The code is canonical.
_LENGTHS = (
    "13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 "
    "6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 "
    "13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 "
    "15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28 "
    "20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 "
    "22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23 "
    "26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 "
    "20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30"
)
_END = 256
_SIZE_MAX = 4096

Header = tuple[str, str]


class HeaderError(ValueError):
    """The block is not HPACK."""


def _codes() -> dict[tuple[int, int], int]:
    """(length, code) → symbol: codes count upwards, by length and then by symbol."""
    code, before, found = 0, 0, {}
    for length, symbol in sorted((int(text), index) for index, text in enumerate(_LENGTHS.split())):
        code <<= length - before
        found[length, code] = symbol
        code, before = code + 1, length
    return found


class Decoder:
    """One connection's state: the dynamic table."""

    def __init__(self) -> None:
        self._static = [(name, value) for name, _, value in (entry.partition("=") for entry in _STATIC.split("|"))]
        self._dynamic: list[Header] = []
        self._size_max = _SIZE_MAX
        self._huffman: dict[tuple[int, int], int] = {}

    def decode(self, block: bytes) -> list[Header]:
        """The headers of a complete block. Raises HeaderError."""
        found: list[Header] = []
        at = 0
        try:
            while at < len(block):
                first = block[at]
                if first & 0x80:
                    index, at = _integer(block, at, 7)
                    found.append(self._entry(index))
                elif first & 0xE0 == 0x20:
                    self._size_max, at = _integer(block, at, 5)
                    self._evict()
                else:
                    keep = bool(first & 0x40)
                    index, at = _integer(block, at, 6 if keep else 4)
                    name = self._entry(index)[0] if index else ""
                    if not index:
                        name, at = self._string(block, at)
                    value, at = self._string(block, at)
                    found.append((name, value))
                    if keep:
                        self._dynamic.insert(0, (name, value))
                        self._evict()
        except IndexError:
            raise HeaderError("header block ends too early") from None
        return found

    def _evict(self) -> None:
        size = 0
        for index, (name, value) in enumerate(self._dynamic):
            size += len(name) + len(value) + 32
            if size > self._size_max:
                del self._dynamic[index:]
                return

    def _entry(self, index: int) -> Header:
        if not 0 < index <= len(self._static) + len(self._dynamic):
            raise HeaderError(f"no header {index}")
        return self._static[index - 1] if index <= len(self._static) else self._dynamic[index - len(self._static) - 1]

    def _string(self, block: bytes, at: int) -> tuple[str, int]:
        packed = bool(block[at] & 0x80)
        length, at = _integer(block, at, 7)
        data = block[at : at + length]
        if len(data) != length:
            raise HeaderError("header block ends too early")
        return (self._unpack(data) if packed else data).decode("latin-1"), at + length

    def _unpack(self, data: bytes) -> bytes:
        if not self._huffman:
            self._huffman = _codes()
        out = bytearray()
        code = length = 0
        for byte in data:
            for shift in range(7, -1, -1):
                code, length = code << 1 | (byte >> shift & 1), length + 1
                symbol = self._huffman.get((length, code))
                if symbol is not None:
                    if symbol == _END:
                        raise HeaderError("end of string inside a string")
                    out.append(symbol)
                    code = length = 0
        if length > 7 or code != (1 << length) - 1:
            raise HeaderError("a string is not padded with ones")
        return bytes(out)


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer with a prefix of `bits` (section 5.1), and where it ends."""
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 35, 7):
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise HeaderError("integer too large")


def literal(name: str, value: str) -> bytes:
    """One header, literally and without a trace in any table (section 6.2.2)."""
    return b"\x00" + _length(len(name)) + name.encode("latin-1") + _length(len(value)) + value.encode("latin-1")


def _length(number: int) -> bytes:
    if number < 127:
        return bytes((number,))
    out, number = bytearray((127,)), number - 127
    while number > 127:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))
