"""A connection to the runtime's streaming server, upgraded to SPDY: opening streams, sending, receiving. Blocking."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from apimachinery.kit import spdy

from .complaints import Failed

_HEAD_MAX = 65536
CHUNK = 32 * 1024


class Upgraded:
    """Dial `url` (one time, from the runtime) and agree on one of `protocols`. Raises Failed.

    timeout: seconds until the upgrade.
    """

    def __init__(self, url: str, protocols: Sequence[str], timeout: float) -> None:
        target = urlsplit(url)
        host, port = target.hostname or "127.0.0.1", target.port or 10250
        path = target.path + (f"?{target.query}" if target.query else "")
        try:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            offered = "".join(f"X-Stream-Protocol-Version: {name}\r\n" for name in protocols)
            self.socket.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 0\r\nConnection: Upgrade\r\n"
                f"Upgrade: SPDY/3.1\r\n{offered}\r\n".encode()
            )
            head, rest = self._head()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Failed(f'error sending request: Post "{url}": dial tcp {host}:{port}: connect: {reason}') from None
        status = head.split(" ", 2)
        if len(status) < 2 or status[1] != "101":
            raise Failed(f"unable to upgrade connection: {rest.decode('utf-8', 'replace').strip() or head}")
        self.socket.settimeout(None)
        self._codec = spdy.Codec()
        self._early = rest
        self._next = 1

    def _head(self) -> tuple[str, bytes]:
        """The answer's first line, and what came after its headers."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.socket.recv(_HEAD_MAX)
            if not data or len(received) > _HEAD_MAX:
                raise ConnectionError("unexpected EOF")
            received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        return head.split(b"\r\n", 1)[0].decode("latin-1"), rest

    def open(self, headers: Mapping[str, str]) -> int:
        """Open a stream; its id."""
        stream, self._next = self._next, self._next + 2
        self.socket.sendall(self._codec.syn_stream(stream, headers))
        return stream

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Send on a stream. fin: nothing more will come in this direction."""
        self.socket.sendall(spdy.data(stream, data, fin=fin))

    def receive(self) -> list[spdy.Frame] | None:
        """The frames that are there, waiting for bytes; None at the end. Pings are answered here. Raises Failed."""
        data, self._early = (self._early, b"") if self._early else (self.socket.recv(65536), b"")
        if not data:
            return None
        try:
            frames = self._codec.feed(data)
        except spdy.ProtocolError as error:
            raise Failed(f"error reading from the runtime's stream: {error}") from None
        for frame in frames:
            if frame.kind == spdy.PING:
                self.socket.sendall(spdy.ping(frame.data))
        return frames

    @property
    def pending(self) -> bool:
        """Whether bytes came with the answer's headers and wait to be received."""
        return bool(self._early)

    def close(self) -> None:
        self.socket.close()


def exit_problem(text: bytes) -> str:
    """What the error stream says went wrong; "" for success. Protocol v4: a Status."""
    if not text:
        return ""
    try:
        status = json.loads(text)
    except ValueError:
        return f"error stream protocol error: {text.decode('utf-8', 'replace')!r}"
    if not isinstance(status, dict) or status.get("status") == "Success":
        return ""
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                return f"command terminated with exit code {cause.get('message')}"
    return f"error executing command in container: {status.get('message', '')}"
