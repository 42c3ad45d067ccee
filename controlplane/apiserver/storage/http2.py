"""The client's side of an HTTP/2 connection (RFC 9113), as much of it as calls to etcd need.

Why not grpcio: of an etcd write's processor time in this process 0.4 ms were grpc.aio's (its thread, its wake-ups, its
call objects), more than everything else together; here a call costs 0.04 ms. It also took 26 MB and 0.2 s of the start.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from functools import cache
from typing import cast

from apimachinery.kit.hpack import Decoder, HpackError, indexed, literal

from .grpc_call import Call, Code, RpcError

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">HBBBL")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_ENABLE_PUSH, _INITIAL_WINDOW, _MAX_FRAME = 2, 4, 5
_REFUSED, _CANCEL = 7, 8

_OUR_WINDOW = 16 << 20  # bytes that the server may send before it is given room again, of a stream and of all
_FIRST_WINDOW = 65_535  # before anything else was agreed
_LAST_NUMBER = (1 << 31) - 1

# Seconds between pings, and that one may take, as upstream's storage/storagebackend/factory/etcd3.go.
KEEPALIVE_PERIOD = 30.0
KEEPALIVE_TIMEOUT = 10.0


class Http2Connection(asyncio.Protocol):
    """Make it with a loop's create_connection; `lost` tells when it can take no more calls."""

    def __init__(self, authority: str, scheme: str) -> None:
        # Pseudo headers come first (RFC 9113 section 8.3), the path between the two.
        self._first = indexed(":method", "POST") + indexed(":scheme", scheme) + literal(":authority", authority)
        self._last = (
            literal("content-type", "application/grpc") + literal("te", "trailers") + literal("user-agent", "kubelab")
        )
        self.lost = False
        self._transport = cast("asyncio.Transport", None)
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, Call] = {}
        self._decoder = Decoder()
        self._rest = b""
        self._out: list[bytes] = []
        self._block: tuple[int, int, list[bytes]] | None = None  # number, flags, parts of headers not complete yet
        self._number = 1
        self._window, self._stream_window, self._frame_size = _FIRST_WINDOW, _FIRST_WINDOW, 16_384
        self._waiting: dict[int, Call] = {}  # calls with bytes that wait for room, in order
        self._ending: set[int] = set()  # of those, the ones that say nothing more after them
        self._received = 0
        self._heard = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HLHL", _ENABLE_PUSH, 0, _INITIAL_WINDOW, _OUR_WINDOW)
        room = struct.pack(">L", _OUR_WINDOW - _FIRST_WINDOW)
        self._write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, room))
        self._timer = self._loop.call_later(KEEPALIVE_PERIOD, self._ping)

    def _write(self, data: bytes) -> None:
        """What is written in one turn of the loop goes out together: a system call costs more than a call's bytes."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        data, self._out = b"".join(self._out), []
        if not self._transport.is_closing():
            self._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail_all(f"connection lost: {error}" if error else "connection closed")
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Ends it; calls under way fail."""
        self.lost = True
        self._transport.close()

    def call(self, path: str, message: bytes, headers: Mapping[str, str], *, ends: bool) -> Call:
        """Begins a call with its first message. ends: it is the only one. Raises RpcError when it cannot be sent."""
        if self.lost or self._number > _LAST_NUMBER:
            raise RpcError(Code.UNAVAILABLE, "connection closed", processed=False)
        call = Call(self._number, self._stream_window)
        self._number += 2
        self._calls[call.number] = call
        block = self._first + _path(path) + self._last
        if headers:
            block += b"".join(literal(*each) for each in headers.items())
        head = _frame(_HEADERS, _END_HEADERS, call.number, block)
        data = b"\0" + len(message).to_bytes(4, "big") + message
        if len(data) <= min(self._window, call.window, self._frame_size) and not self._waiting:
            self._window -= len(data)
            call.window -= len(data)
            self._write(head + _frame(_DATA, _END_STREAM if ends else 0, call.number, data))
        else:
            self._write(head)
            call.unsent = data
            self._waiting[call.number] = call
            if ends:
                self._ending.add(call.number)
            self._send_waiting()
        return call

    def cancel(self, call: Call) -> None:
        """Tells the server that nobody waits for the call any more. Idempotent."""
        if self._drop(call.number) is not None:
            self._write(_frame(_RESET, 0, call.number, struct.pack(">L", _CANCEL)))

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= 9:
                high, low, kind, flags, number = _HEAD.unpack_from(data, at)
                stop = at + 9 + (high << 8 | low)
                if stop > end:
                    break
                self._take(kind, flags, number & _LAST_NUMBER, data[at + 9 : stop])
                at = stop
        except (HpackError, struct.error, IndexError) as error:
            self._fail_all(f"the server breaks the protocol: {error}")
            self._transport.abort()
            return
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == _DATA:
            self._take_data(flags, number, payload)
        elif kind in (_HEADERS, _CONTINUATION):
            self._take_headers(kind, flags, number, payload)
        elif kind == _WINDOW:
            (more,) = struct.unpack(">L", payload)
            if number == 0:
                self._window += more
            elif call := self._calls.get(number):
                call.window += more
            if self._waiting:
                self._send_waiting()
        elif kind == _RESET:
            (code,) = struct.unpack(">L", payload)
            if call := self._drop(number):
                call.end(RpcError(Code.UNAVAILABLE, f"stream reset, code {code}", processed=code != _REFUSED))
        elif kind == _SETTINGS and not flags & _ACK:
            self._take_settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            last, code = struct.unpack_from(">LL", payload)
            self._go_away(last & _LAST_NUMBER, f"the server goes away, code {code}")

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > _OUR_WINDOW // 2:
            self._write(_frame(_WINDOW, 0, 0, struct.pack(">L", self._received)))
            self._received = 0
        call = self._calls.get(number)
        if call is None:
            return
        call.received += len(payload)
        if call.received > _OUR_WINDOW // 2:
            self._write(_frame(_WINDOW, 0, number, struct.pack(">L", call.received)))
            call.received = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if payload:
            call.take(payload)
        if flags & _END_STREAM:
            self._drop(number)
            call.end(RpcError(Code.UNKNOWN, "the stream ended without a status"))

    def _take_headers(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == _HEADERS:
            if flags & _PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & _PRIORITY:
                payload = payload[5:]
            if not flags & _END_HEADERS:
                self._block = number, flags, [payload]
                return
        else:
            if self._block is None:
                raise HpackError("a continuation of nothing")
            number, first, parts = self._block
            parts.append(payload)
            if not flags & _END_HEADERS:
                return
            flags, payload, self._block = first, b"".join(parts), None
        headers = self._decoder.decode(payload)
        if flags & _END_STREAM and (call := self._drop(number)):
            call.finish(headers)

    def _take_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HL", payload):
            if name == _INITIAL_WINDOW:
                for call in self._calls.values():
                    call.window += value - self._stream_window
                self._stream_window = value
            elif name == _MAX_FRAME:
                self._frame_size = value
        self._write(_frame(_SETTINGS, _ACK, 0, b""))
        self._send_waiting()

    def _send_waiting(self) -> None:
        for number, call in list(self._waiting.items()):
            while call.unsent and (room := min(self._window, call.window, self._frame_size)) > 0:
                part, call.unsent = call.unsent[:room], call.unsent[room:]
                self._window -= len(part)
                call.window -= len(part)
                last = not call.unsent and number in self._ending
                self._write(_frame(_DATA, _END_STREAM if last else 0, number, part))
            if not call.unsent:
                del self._waiting[number]
                self._ending.discard(number)

    def _drop(self, number: int) -> Call | None:
        self._waiting.pop(number, None)
        self._ending.discard(number)
        call = self._calls.pop(number, None)
        if self.lost and not self._calls:
            self._transport.close()
        return call

    def _go_away(self, last: int, reason: str) -> None:
        self.lost = True
        for number in [each for each in self._calls if each > last]:
            if call := self._drop(number):
                call.end(RpcError(Code.UNAVAILABLE, reason, processed=False))
        if not self._calls:
            self._transport.close()

    def _fail_all(self, reason: str) -> None:
        self.lost = True
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.end(RpcError(Code.UNAVAILABLE, reason))

    def _ping(self) -> None:
        self._heard = False
        self._write(_frame(_PING, 0, 0, b"kubelab!"))
        self._timer = self._loop.call_later(KEEPALIVE_TIMEOUT, self._check_heard)

    def _check_heard(self) -> None:
        if not self._heard:
            self._fail_all(f"no answer to a ping within {KEEPALIVE_TIMEOUT:g} s")
            self._transport.abort()
            return
        self._timer = self._loop.call_later(KEEPALIVE_PERIOD - KEEPALIVE_TIMEOUT, self._ping)


@cache
def _path(path: str) -> bytes:
    return literal(":path", path)


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, number) + payload
