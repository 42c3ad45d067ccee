"""A connection that says exactly what it is told to, TLS aside, and reads what comes back."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import Self

ANSWER_WITHIN = 20.0  # seconds; a request that is not answered by then hangs


@dataclass(frozen=True, slots=True)
class Reply:
    """code 0: the server closed the connection without a word. closed: it closed it after its answer."""

    code: int
    headers: dict[str, str]
    body: bytes
    closed: bool


class Wire:
    """One connection at a time, made again when the server has closed it."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._port, self._tls = port, tls
        self._socket: ssl.SSLSocket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = b""

    def ask(self, request: bytes, *, finish: bool = False) -> Reply:
        """Send and read one answer. finish: nothing more will be said, which the server is told (half-closed).

        Raises TimeoutError when nothing comes within ANSWER_WITHIN.
        """
        reused = self._socket is not None
        self.say(request, finish=finish)
        reply = self._read(head=request.startswith(b"HEAD "))
        if reused and reply.code == 0:
            # It was closed after the answer before; only on a connection of its own silence is an answer to this.
            self.close()
            return self.ask(request, finish=finish)
        if reply.closed:
            self.close()
        return reply

    def say(self, data: bytes, *, finish: bool = False) -> None:
        """Send, whether or not anybody listens any more."""
        if self._socket is None:
            plain = socket.create_connection(("127.0.0.1", self._port), ANSWER_WITHIN)
            self._socket = self._tls.wrap_socket(plain, server_hostname="127.0.0.1")
        # A server that has seen enough may close while it is still being talked to.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self._socket.sendall(data)
            if finish:
                self._socket.shutdown(socket.SHUT_WR)

    def silent(self) -> bool:
        """Whether the connection is closed, or is now, without another word."""
        return self._socket is None or not (self._rest or self._more())

    def _read(self, *, head: bool) -> Reply:
        while True:
            while b"\r\n\r\n" not in self._rest:
                if not self._more():
                    return Reply(0, {}, self._rest, closed=True)
            top, _, self._rest = self._rest.partition(b"\r\n\r\n")
            first, *lines = top.decode("latin-1").split("\r\n")
            code = int(first.split(" ")[1])
            if code != 100:
                break
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        closed = headers.get("connection", "").lower() == "close" or code == 101
        body = b""
        if head or code in (101, 204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            while self._more():
                pass
            body, closed = self._rest, True
        return Reply(code, headers, body, closed)

    def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._rest and self._more():
                pass
            size, _, self._rest = self._rest.partition(b"\r\n")
            chunk = self._exactly(int(size, 16) + 2)[:-2]
            if not chunk:
                return body
            body += chunk

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size and self._more():
            pass
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _more(self) -> bool:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return False
        self._rest += data
        return bool(data)
