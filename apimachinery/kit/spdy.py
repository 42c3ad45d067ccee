"""SPDY/3.1 frames (draft-mbelshe-httpbis-spdy-00, version 3), as far as the streams of containers need them. No I/O.

Flow control is left to TCP: the peers (spdystream) neither send nor look at WINDOW_UPDATE. Standard library only, for
crictl, which starts without site packages, speaks it too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
CANCEL = 5
REFUSED_STREAM = 3
FRAME_MAX = 1 << 20
"""Bytes of a frame that are accepted; spdystream's writers send at most what they read at once (32 KiB)."""
_HEADERS_MAX = 1 << 16
_CONTROL = 0x80000000 | 3 << 16
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status|200 OK|version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = [word for part in _WORDS.split("|") for word in ([part] if part == "200 OK" else part.split(" ")) if word]
    return b"".join(struct.pack("!I", len(word)) + word.encode() for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()
"""What both sides' header compression begins with (section 2.6.10.1)."""


class ProtocolError(Exception):
    """What came is not SPDY/3.1."""


class Frame(NamedTuple):
    """kind: 0 for data. stream: 0 for frames of the whole connection. headers: of SYN_STREAM, SYN_REPLY and HEADERS."""

    kind: int
    stream: int
    fin: bool
    data: bytes = b""
    headers: Mapping[str, str] | None = None


class Codec:
    """One end of a connection: header compression has a state for each direction, so every frame goes through here."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(6, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
        self._unpacker = zlib.decompressobj(15, DICTIONARY)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises ProtocolError."""
        self._buffer += data
        found: list[Frame] = []
        at = 0
        while len(self._buffer) - at >= 8:
            first, rest = struct.unpack_from("!II", self._buffer, at)
            length, flags = rest & 0xFFFFFF, rest >> 24
            if length > FRAME_MAX:
                raise ProtocolError(f"frame of {length} bytes")
            if len(self._buffer) - at < 8 + length:
                break
            payload = bytes(self._buffer[at + 8 : at + 8 + length])
            at += 8 + length
            if first & 0x80000000:
                found.append(self._control(first, flags, payload))
            else:
                found.append(Frame(0, first, bool(flags & FIN), payload))
        del self._buffer[:at]
        return found

    def _control(self, first: int, flags: int, payload: bytes) -> Frame:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != 3:
            raise ProtocolError(f"version {version}")
        fin = bool(flags & FIN)
        if kind in (SETTINGS, PING, GOAWAY):
            return Frame(kind, 0, fin, payload)
        fixed = 10 if kind == SYN_STREAM else 4
        if len(payload) < fixed:
            raise ProtocolError(f"control frame {kind} of {len(payload)} bytes")
        stream = struct.unpack_from("!I", payload)[0] & 0x7FFFFFFF
        if kind in (SYN_STREAM, SYN_REPLY, HEADERS):
            return Frame(kind, stream, fin, b"", self._headers(payload[fixed:]))
        return Frame(kind, stream, fin, payload[fixed:])

    def _headers(self, packed: bytes) -> dict[str, str]:
        try:
            raw = self._unpacker.decompress(packed, _HEADERS_MAX)
            if self._unpacker.unconsumed_tail:
                raise ProtocolError("header block too large")
            (count,) = struct.unpack_from("!I", raw)
            words: list[str] = []
            at = 4
            for _ in range(2 * count):
                (length,) = struct.unpack_from("!I", raw, at)
                if at + 4 + length > len(raw):
                    raise ProtocolError("malformed header block")
                words.append(raw[at + 4 : at + 4 + length].decode("latin-1"))
                at += 4 + length
        except (zlib.error, struct.error) as error:
            raise ProtocolError(f"malformed header block: {error}") from None
        return dict(zip(words[::2], words[1::2], strict=True))

    def syn_stream(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Open a stream."""
        return _framed(SYN_STREAM, 0, struct.pack("!IIH", stream, 0, 0) + self._block(headers))

    def syn_reply(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Accept a stream."""
        return _framed(SYN_REPLY, 0, struct.pack("!I", stream) + self._block(headers))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        raw = struct.pack("!I", len(headers))
        for name, value in headers.items():
            key, text = name.lower().encode("latin-1"), value.encode("latin-1")
            raw += struct.pack("!I", len(key)) + key + struct.pack("!I", len(text)) + text
        return self._packer.compress(raw) + self._packer.flush(zlib.Z_SYNC_FLUSH)


def data(stream: int, payload: bytes, *, fin: bool = False) -> bytes:
    """Bytes of a stream; fin: the last ones in this direction."""
    return struct.pack("!II", stream, (FIN if fin else 0) << 24 | len(payload)) + payload


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    """End a stream in both directions."""
    return _framed(RST_STREAM, 0, struct.pack("!II", stream, code))


def ping(payload: bytes) -> bytes:
    """Ask whether the peer lives, or answer that with the same payload."""
    return _framed(PING, 0, payload)


def goaway(last: int) -> bytes:
    """No stream after `last` will be served."""
    return _framed(GOAWAY, 0, struct.pack("!II", last, 0))


def _framed(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("!II", _CONTROL | kind, flags << 24 | len(payload)) + payload
