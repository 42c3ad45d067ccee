"""One answer of HTTP/1.1 as it arrives (RFC 9112): pure, no I/O, so that any cut of the bytes gives the same answer."""

from __future__ import annotations

import zlib
from typing import NamedTuple

HEAD_MAX = 64 * 1024  # bytes of an answer's head, and of its trailers
_SIZE_LINE_MAX = 1024  # bytes that say how long a chunk is
_CRLF = b"\r\n"


class BadAnswer(ValueError):
    """What came is no HTTP/1.1."""


class Head(NamedTuple):
    """status: 200. length: bytes of the body; None when its chunks or the end of the connection tell. keeps: whether
    the connection serves another request. packed: whether the body is gzip."""

    status: int
    length: int | None
    chunked: bool
    keeps: bool
    packed: bool


def parse_head(data: bytes) -> Head:
    """data: the head without the empty line that ends it. Raises BadAnswer."""
    if data[:7] != b"HTTP/1." or not data[9:12].isdigit():
        raise BadAnswer(f"no HTTP/1.1: {data[:40]!r}")
    status, fields = int(data[9:12]), data.lower() + _CRLF
    coding, connection = _field(fields, b"transfer-encoding"), _field(fields, b"connection")
    length: int | None = None
    if status in (204, 304) or status < 200:
        length = 0
    elif not coding and (text := _field(fields, b"content-length")):
        if not text.isdigit():
            raise BadAnswer(f"a Content-Length of {text!r}")
        length = int(text)
    chunked = length is None and coding == b"chunked"
    if coding and length is None and not chunked:
        raise BadAnswer(f"a Transfer-Encoding of {coding!r}")
    keeps = (length is not None or chunked) and connection != b"close" and data[7:8] == b"1"
    packed = _field(fields, b"content-encoding")
    if packed not in (b"", b"gzip", b"identity"):
        raise BadAnswer(f"a Content-Encoding of {packed!r}")
    return Head(status, length, chunked, keeps, packed == b"gzip")


def _field(fields: bytes, name: bytes) -> bytes:
    at = fields.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 3
    return fields[at : fields.index(_CRLF, at)].strip()


class Answer:
    """Takes the bytes of one answer and gives those of its body. Interim answers (1xx) are passed over.

    head: None until it is there. ended: whether all of the body has come. keeps: whether the connection serves on.
    """

    __slots__ = ("_at_chunk", "_left", "_rest", "ended", "head")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.ended = False
        self._rest = b""
        # Bytes that the body, or the chunk that is being read, still lacks. In chunks: whether a size line is next.
        self._left, self._at_chunk = 0, False

    @property
    def keeps(self) -> bool:
        return self.ended and self.head is not None and self.head.keeps and not self._rest

    def feed(self, data: bytes) -> bytes:
        """What of the body these bytes bring. Raises BadAnswer."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        while self.head is None:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > HEAD_MAX:
                if len(data) > HEAD_MAX:
                    raise BadAnswer("a head without an end")
                self._rest = data
                return b""
            head, data = parse_head(data[:end]), data[end + 4 :]
            if head.status >= 200:
                self._begin(head)
        if self.ended:
            self._rest = data
            return b""
        if self.head.chunked:
            return self._chunks(data)
        if self.head.length is None:
            return data
        found = data if len(data) <= self._left else data[: self._left]
        self._left -= len(found)
        if not self._left:
            self.ended, self._rest = True, data[len(found) :]
        return found

    def end(self) -> None:
        """The connection has ended. Raises BadAnswer when that cuts the answer off."""
        if not self.ended and (self.head is None or self.head.length is not None or self.head.chunked):
            raise BadAnswer("the server closed the connection before its answer was complete")
        self.ended = True

    def _begin(self, head: Head) -> None:
        self.head = head
        self._left, self._at_chunk = head.length or 0, True
        self.ended = head.length == 0

    def _chunks(self, data: bytes) -> bytes:
        found: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._at_chunk:
                end = data.find(_CRLF, at)
                if end < 0:
                    if size - at > _SIZE_LINE_MAX:
                        raise BadAnswer("a chunk without a size")
                    break
                self._left = _chunk_size(data[at:end])
                if not self._left:
                    at = self._trailers(data, at, end)
                    break
                at, self._at_chunk = end + 2, False
            elif self._left:
                piece = data[at : at + self._left]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif size - at < 2:
                break
            elif data[at : at + 2] != _CRLF:
                raise BadAnswer("a chunk that is longer than it said")
            else:
                at, self._at_chunk = at + 2, True
        self._rest = data[at:]
        return found[0] if len(found) == 1 else b"".join(found)

    def _trailers(self, data: bytes, at: int, end: int) -> int:
        """Where the body ends, when that is there: after the last chunk, and the fields that may follow it."""
        if data[end : end + 4] == b"\r\n\r\n":
            last = end
        elif (last := data.find(b"\r\n\r\n", end)) < 0:
            if len(data) - end > HEAD_MAX:
                raise BadAnswer("trailers without an end")
            return at
        self.ended = True
        return last + 4


def _chunk_size(line: bytes) -> int:
    text = line.partition(b";")[0].strip()
    if not text or text.strip(b"0123456789abcdefABCDEF"):
        raise BadAnswer(f"a chunk of size {text[:20]!r}")
    return int(text, 16)


class Lines:
    """Cuts a stream into its lines, without their ends. limit: bytes that a line may have."""

    __slots__ = ("_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete. Raises BadAnswer for a line beyond the limit."""
        if b"\n" not in data:
            if data:
                self._pieces.append(data)
                self._size += len(data)
                if self._size > self._limit:
                    raise BadAnswer(f"a line of more than {self._limit} bytes")
            return []
        if self._pieces:
            data = b"".join((*self._pieces, data))
        lines = data.split(b"\n")
        rest = lines.pop()
        self._pieces, self._size = [rest] if rest else [], len(rest)
        return lines

    def end(self) -> list[bytes]:
        """The last line, when it has no end."""
        pieces, self._pieces = self._pieces, []
        return [b"".join(pieces)] if pieces else []


def unpacked(body: bytes) -> bytes:
    """What a gzip body holds. Raises BadAnswer."""
    try:
        return zlib.decompress(body, wbits=31)
    except zlib.error as error:
        raise BadAnswer(f"a body that is no gzip: {error}") from None
