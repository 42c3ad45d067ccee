"""gRPC calls over a unix socket: as much of HTTP/2 (RFC 9113) and of gRPC's mapping to it as one call at a time needs.

grpcio's import alone takes longer than a whole listing does this way; on an emulated machine it takes seconds.
"""

from __future__ import annotations

# The module under socket, which itself imports enum and selectors: half of a start.
import _socket as socket
import struct
import time

from apimachinery.kit.hpack import Decoder, HpackError, literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_INITIAL_WINDOW_SIZE, _HEADER_TABLE_SIZE, _MAX_FRAME_SIZE = 4, 1, 5
_WINDOW_MAX = (1 << 31) - 1
_FRAME = 16384
_MESSAGE_MAX = 16 * 1024 * 1024

_CODES = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
]


class CallFailed(Exception):
    """The runtime refused a call, or could not be asked. code: gRPC's, as Go names it."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"rpc error: code = {code} desc = {message}")


class Connection:
    """A connection to a runtime. endpoint: `unix:///run/containerd/containerd.sock` or a path.

    timeout: seconds to connect in. Raises CallFailed (Unavailable).
    """

    def __init__(self, endpoint: str, timeout: float) -> None:
        self.endpoint = endpoint
        path = endpoint.removeprefix("unix://")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as error:
            # A deadline that passes has no errno of its own.
            reason = (error.strerror or "i/o timeout").lower()
            raise CallFailed(
                "Unavailable",
                f'connection error: desc = "transport: Error while dialing: dial unix {path}: connect: {reason}"',
            ) from None
        settings = struct.pack("!HIHI", _HEADER_TABLE_SIZE, 0, _INITIAL_WINDOW_SIZE, _WINDOW_MAX)
        more = struct.pack("!I", _WINDOW_MAX - 65535)
        self._out = _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, more)
        self._in = bytearray()
        self._decoder = Decoder()
        self._stream = -1
        # What the peer lets us send: on the connection, on a new stream, and in one frame.
        self._window, self._initial, self._frame_max = 65535, 65535, _FRAME
        self._stream_window = 0

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, request: bytes, timeout: float | None) -> bytes:
        """The answer of a unary call. method: `/runtime.v1.RuntimeService/Version`. timeout: seconds, None for none.

        Raises CallFailed.
        """
        answers = list(self.stream(method, request, timeout))
        if len(answers) != 1:
            raise CallFailed("Internal", f"{len(answers)} answers to a unary call")
        return answers[0]

    def stream(self, method: str, request: bytes, timeout: float | None = None) -> Iterator[bytes]:
        """Yield what the runtime answers until it ends the stream. Raises CallFailed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._stream += 2
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("user-agent", "crictl"),
            ("te", "trailers"),
        ]
        if timeout is not None:
            headers.append(("grpc-timeout", f"{max(1, round(timeout * 1000))}m"))
        block = b"".join(literal(name, value) for name, value in headers)
        self._out += _frame(_HEADERS, _END_HEADERS, self._stream, block)
        self._stream_window = self._initial
        try:
            yield from self._exchange(struct.pack("!BI", 0, len(request)) + request, deadline)
        except TimeoutError:
            raise CallFailed("DeadlineExceeded", "context deadline exceeded") from None
        except (OSError, EOFError, HpackError) as error:
            raise CallFailed("Unavailable", f"error reading from server: {str(error) or 'EOF'}") from None

    def _exchange(self, body: bytes, deadline: float | None) -> Iterator[bytes]:
        received = bytearray()
        body = self._send(body, deadline)
        while True:
            kind, flags, stream, payload = self._read(deadline)
            if kind == _DATA and stream == self._stream:
                received += _unpadded(flags, payload)
                yield from _messages(received)
                if flags & _END_STREAM:
                    raise CallFailed("Internal", "server closed the stream without sending trailers")
            elif kind == _HEADERS:
                headers = self._headers(flags, payload, deadline)
                if stream == self._stream and flags & _END_STREAM:
                    _finish(headers)
                    return
            elif kind == _RST and stream == self._stream:
                raise CallFailed("Unavailable", f"stream terminated by RST_STREAM with error code: {payload[3]}")
            elif body:
                body = self._send(body, deadline)

    def _send(self, body: bytes, deadline: float | None) -> bytes:
        """Send what the peer's windows allow; returns what is left."""
        while body:
            size = min(len(body), self._window, self._stream_window, self._frame_max)
            if size <= 0:
                break
            last = _END_STREAM if size == len(body) else 0
            self._out += _frame(_DATA, last, self._stream, body[:size])
            self._window, self._stream_window, body = self._window - size, self._stream_window - size, body[size:]
        self._flush(deadline)
        return body

    def _flush(self, deadline: float | None) -> None:
        if self._out:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(self._out)
            self._out = b""

    def _read(self, deadline: float | None) -> tuple[int, int, int, bytes]:
        """The next frame, after what concerns the connection has been attended to."""
        head = self._take(9, deadline)
        length = int.from_bytes(head[:3], "big")
        kind, flags = head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        payload = self._take(length, deadline)
        if kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
            self._out += _frame(_SETTINGS, _ACK, 0, b"")
            self._flush(deadline)
        elif kind == _PING and not flags & _ACK:
            self._out += _frame(_PING, _ACK, 0, payload)
            self._flush(deadline)
        elif kind == _WINDOW:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += more
            elif stream == self._stream:
                self._stream_window += more
        elif kind == _GOAWAY and int.from_bytes(payload[:4], "big") < self._stream:
            raise EOFError("the connection is draining")
        return kind, flags, stream, payload

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload) - 5, 6):
            name, value = struct.unpack_from("!HI", payload, at)
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial
                self._initial = value
            elif name == _MAX_FRAME_SIZE:
                self._frame_max = value

    def _headers(self, flags: int, payload: bytes, deadline: float | None) -> dict[str, str]:
        block = _unpadded(flags, payload)
        if flags & _PRIORITY:
            block = block[5:]
        while not flags & _END_HEADERS:
            kind, flags, _, payload = self._read(deadline)
            if kind != _CONTINUATION:
                raise HpackError("a header block is interrupted")
            block += payload
        return self._decoder.decode(block)

    def _take(self, size: int, deadline: float | None) -> bytes:
        while len(self._in) < size:
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("EOF")
            self._in += data
        taken = bytes(self._in[:size])
        del self._in[:size]
        return taken


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload


def _messages(received: bytearray) -> Iterator[bytes]:
    """Take complete gRPC messages off the front."""
    while len(received) >= 5:
        packed, size = struct.unpack_from("!BI", received)
        if packed or size > _MESSAGE_MAX:
            raise CallFailed("ResourceExhausted", f"received message larger than max ({size} vs. {_MESSAGE_MAX})")
        if len(received) < 5 + size:
            return
        yield bytes(received[5 : 5 + size])
        del received[: 5 + size]


def _finish(headers: dict[str, str]) -> None:
    status = headers.get("grpc-status", "2")
    if status != "0":
        code = int(status) if status.isdecimal() else 2
        name = _CODES[code] if code < len(_CODES) else f"Code({code})"
        from urllib.parse import unquote

        raise CallFailed(name, unquote(headers.get("grpc-message", "")))


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
