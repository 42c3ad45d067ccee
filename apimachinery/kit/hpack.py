"""HPACK, the header compression of HTTP/2 (RFC 7541): all of decoding, and of encoding what gRPC's calls need."""

from __future__ import annotations

from collections import deque
from functools import cache

_TABLE_SIZE = 4096  # bytes of the dynamic table, the protocol's initial value, which we leave
_ENTRY_OVERHEAD = 32

# RFC 7541, appendix A: name or name=value, + for a blank.
_STATIC_TEXT = """
:authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204
:status=206 :status=304 :status=400 :status=404 :status=500 accept-charset accept-encoding=gzip,+deflate
accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control
content-disposition content-encoding content-language content-length content-location content-range content-type
cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since
last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh
retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate
"""
_STATIC = [(name, value.replace("+", " ")) for name, _, value in (e.partition("=") for e in _STATIC_TEXT.split())]

# RFC 7541, appendix B, as the lengths of the codes of the octets 0 to 255 and of the end: A is 5 bits, Z is 30. The
# code is canonical (shorter first, then by octet), so that the lengths say all.
_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB"
    "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS"
    "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
_END_OF_STRING = 256


class HpackError(ValueError):
    """The block is malformed: the connection cannot go on (RFC 9113 section 4.3)."""


class Decoder:
    """The headers of one direction of a connection; blocks must come in order."""

    def __init__(self) -> None:
        self._dynamic: deque[tuple[str, str]] = deque()
        self._size = 0
        self._limit = _TABLE_SIZE
        # A server says the same in every answer: blocks seen since the table last changed.
        self._seen: dict[bytes, dict[str, str]] = {}

    def decode(self, block: bytes) -> dict[str, str]:
        """The headers of a block; of a name that comes twice the last. Raises HpackError. Do not change the result."""
        known = self._seen.get(block)
        if known is not None:
            return known
        try:
            headers, changed = self._decode(block)
        except (IndexError, UnicodeDecodeError) as error:
            raise HpackError(str(error)) from None
        if changed:
            self._seen.clear()
        elif len(self._seen) < 64:
            self._seen[block] = headers
        return headers

    def _decode(self, block: bytes) -> tuple[dict[str, str], bool]:
        headers: dict[str, str] = {}
        changed, at = False, 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                name, value = self._entry(index)
            elif first & 0xE0 == 0x20:
                self._limit, at = _integer(block, at, 5)
                if self._limit > _TABLE_SIZE:
                    raise HpackError("a table larger than allowed")
                changed = True
                self._evict(0)
                continue
            else:
                index, at = _integer(block, at, 6 if first & 0x40 else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                if first & 0x40:
                    changed = True
                    self._add(name, value)
            headers[name] = value
        return headers, changed

    def _entry(self, index: int) -> tuple[str, str]:
        if index == 0:
            raise HpackError("index 0")
        return _STATIC[index - 1] if index <= len(_STATIC) else self._dynamic[index - len(_STATIC) - 1]

    def _add(self, name: str, value: str) -> None:
        size = len(name) + len(value) + _ENTRY_OVERHEAD
        self._evict(size)
        if size <= self._limit:
            self._dynamic.appendleft((name, value))
            self._size += size

    def _evict(self, room: int) -> None:
        while self._dynamic and self._size + room > self._limit:
            name, value = self._dynamic.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def literal(name: str, value: str) -> bytes:
    """A header that enters no table. Name and value are at most 126 bytes of ASCII, the name in lower case."""
    for index, (known, _) in enumerate(_STATIC, 1):
        if known == name:
            return (bytes([index]) if index < 15 else bytes([15, index - 15])) + _plain(value)
    return b"\0" + _plain(name) + _plain(value)


def indexed(name: str, value: str) -> bytes:
    """A header of the static table. Raises ValueError for one that is not there."""
    return bytes([0x81 + _STATIC.index((name, value))])


def _plain(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) > 126:
        raise ValueError(f"too long for a header of ours: {text!r}")
    return bytes([len(data)]) + data


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    shift = 0
    while True:
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
        shift += 7
        if shift > 28:
            raise HpackError("an integer too large")


def _string(block: bytes, at: int) -> tuple[str, int]:
    packed = block[at] & 0x80
    length, at = _integer(block, at, 7)
    data = block[at : at + length]
    if len(data) < length:
        raise HpackError("a string beyond its block")
    return (_unpack(data) if packed else data).decode("utf-8"), at + length


def _unpack(data: bytes) -> bytes:
    codes, found = _codes(), bytearray()
    code, length = 0, 0
    for octet in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | octet >> shift & 1, length + 1
            symbol = codes.get((length, code))
            if symbol is not None:
                if symbol == _END_OF_STRING:
                    raise HpackError("an end within a string")
                found.append(symbol)
                code, length = 0, 0
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("padding that is none")
    return bytes(found)


@cache
def _codes() -> dict[tuple[int, int], int]:
    lengths = [ord(letter) - ord("A") + 5 for letter in _LENGTHS]
    codes: dict[tuple[int, int], int] = {}
    code, before = 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda each: (lengths[each], each)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        codes[before, code] = symbol
        code += 1
    return codes
