"""HTTP/1.1 to one server: what components need to speak to the API server, and no more.

A small request over TLS takes 50 µs of processor time, and took 170 with aiohttp's client, which was more than deciding
where a pod goes: a request here is one write and one callback.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from apimachinery.kit import net_words

from .http_connection import Connection, Stream, Whole

CONNECT_TIMEOUT = 10.0  # seconds
IDLE_MAX = 60.0  # seconds that a connection is kept for the next request
CONNECTIONS_SOFT_MAX = 32
"""Connections that are made without hesitation. A handshake costs the two sides more than a small request."""
PATIENCE = 0.5
"""Seconds for which a request waits for one of them to be free. Then it gets another one: who is slow holds up nobody
for longer."""
_PATH_SAFE = "/:@!$&'()*+,;=%~-._?"


class NotConnected(ConnectionError):
    """There was nobody to hear the request."""


class NotSent(ConnectionError):
    """The caller did not want it to be sent any more."""


def target(path: str, query: Mapping[str, str]) -> str:
    """What a request asks for: the path, quoted where it must be, and the query."""
    asked = quote(path, safe=_PATH_SAFE)
    if query:
        asked += ("&" if "?" in asked else "?") + urlencode(query, quote_via=quote, safe="")
    return asked


class Connections:
    """The connections to one server. base: `https://host:port`, and a path that comes before every other.

    headers: lines that every request shows, each ending with CRLF.
    """

    def __init__(self, base: str, context: ssl.SSLContext | None, headers: str) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "", parts.port or (443 if context else 80)
        self._prefix, self._context = parts.path.rstrip("/"), context
        self._headers = f"Host: {parts.netloc}\r\n{headers}"
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._making = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(
        self,
        method: str,
        path: str,
        headers: str,
        body: bytes | None,
        *,
        timeout: float,
        may: Callable[[], bool] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of the answer. path: as `target` makes it. headers: lines of this request.

        may: asked when the bytes are about to go; False raises NotSent. Raises OSError (NotConnected, TimeoutError) and
        BadAnswer; then nobody knows what the server did.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        request = self._request(method, path, headers, body)
        while True:
            connection = self._take() or await self._free_or_new(timeout)
            if may is not None and not may():
                connection.cut()
                raise NotSent("not sent: it may not be any more")
            reused, exchange = connection.used, Whole(loop)
            connection.send(request, exchange)
            timer = loop.call_at(end, exchange.expire)
            try:
                return await exchange.done
            except ConnectionError:
                # The server closed what it had kept just as we wrote, as servers may (RFC 9112, section 9.3.1).
                if not reused or self._closed or method != "GET" or exchange.answer.head is not None:
                    raise
            except BaseException:
                connection.close()
                raise
            finally:
                timer.cancel()

    async def listen(self, path: str, headers: str, *, silence: float, line_max: int) -> Stream:
        """The answer to a GET, as a stream on a connection of its own. Raises NotConnected."""
        connection = await self._made(CONNECT_TIMEOUT, Connection(Connection.cut, _nothing))
        stream = Stream(connection, silence, line_max)
        connection.send(self._request("GET", path, headers, None), stream)
        return stream

    def close(self) -> None:
        """End those that serve requests, which fail; streams are their readers' to close."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._open):
            connection.cut()

    def _request(self, method: str, path: str, headers: str, body: bytes | None) -> bytes:
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}{headers}"
        if body is not None:
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        return f"{head}\r\n".encode() if method == "GET" else f"{head}Content-Length: 0\r\n\r\n".encode()

    def _take(self) -> Connection | None:
        """The connection that was used last: its caches are warm, here and there, and the others may grow old."""
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        return None

    async def _free_or_new(self, timeout: float) -> Connection:
        if len(self._open) + self._making >= CONNECTIONS_SOFT_MAX:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[Connection | None] = loop.create_future()
            self._waiting.append(waiter)
            timer = loop.call_later(PATIENCE, _give_up, waiter)
            try:
                found = await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled() and (given := waiter.result()) is not None:
                    self._free(given)
                raise
            finally:
                timer.cancel()
            if found is not None and found.open:
                return found
        self._making += 1
        try:
            connection = await self._made(timeout, Connection(self._free, self._lose))
        finally:
            self._making -= 1
        if self._closed:
            connection.cut()
            raise ConnectionAbortedError("the client was closed")
        self._open.add(connection)
        return connection

    async def _made(self, timeout: float, connection: Connection) -> Connection:
        """Connected. Raises NotConnected, which tells of the first address, as Go does."""
        end = asyncio.get_running_loop().time() + timeout
        why: NotConnected | None = None
        for *kind, _, address in await self._addresses(end):
            try:
                await self._dial(_socket(*kind), address, connection, end)
                return connection
            except NotConnected as error:
                why = why or error
        raise why or NotConnected(f"dial tcp: lookup {self._host}: no such host")

    async def _addresses(self, end: float) -> list[Any]:
        with suppress(socket.gaierror):
            return socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(end):
                return await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NotConnected(net_words.unresolved(error, self._host)) from error

    async def _dial(self, dialled: socket.socket, address: Any, connection: Connection, end: float) -> None:
        loop = asyncio.get_running_loop()
        name = self._host if self._context is not None else None
        try:
            try:
                async with asyncio.timeout_at(end):
                    await loop.sock_connect(dialled, address)
            except OSError as error:
                raise NotConnected(net_words.undialled(error, net_words.joined(*address[:2]))) from error
            try:
                async with asyncio.timeout_at(end):
                    await loop.create_connection(
                        lambda: connection, sock=dialled, ssl=self._context, server_hostname=name
                    )
            except OSError as error:
                raise NotConnected(net_words.unshaken(error)) from error
        except BaseException:
            dialled.close()
            raise

    def _free(self, connection: Connection) -> None:
        """It may serve another request: that of who has waited longest, or a later one."""
        if not connection.open:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_MAX, self._end_idle)

    def _lose(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)  # there is room for another one
                return

    def _end_idle(self) -> None:
        """Close what nobody has used for long; servers do so too, and a request that meets that is lost."""
        loop = asyncio.get_running_loop()
        for connection in [each for each in self._idle if loop.time() - each.idle_since >= IDLE_MAX]:
            self._idle.remove(connection)
            connection.cut()
        self._sweep = None
        if self._idle:
            self._sweep = loop.call_at(self._idle[0].idle_since + IDLE_MAX, self._end_idle)


def _give_up(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _nothing(connection: Connection) -> None:
    """Of the end of a stream's connection the stream itself is told."""


def _socket(family: int, kind: int, protocol: int) -> socket.socket:
    """A socket that notices within half a minute that the other machine lost its power.

    A watch only listens: without probes a connection that died without a word would be listened to until the watch's
    own end. client-go's HTTP/2 pings serve the same end, after the same time.
    """
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)  # milliseconds
    return made
