"""Passing an upgraded connection on to the runtime's streaming server, byte for byte.

The streaming server speaks the protocol (SPDY or WebSocket); we only carry it. Its answer is looked at: anything but
101 is returned as an ordinary response, so that the client's connection never stays joined to the runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast
from urllib.parse import urlsplit

from aiohttp import web

_HEAD_MAX = 64 * 1024
_BODY_MAX = 1024 * 1024
_BUFFER_MAX = 256 * 1024
_CONNECT_TIMEOUT = 10.0

# Hop-by-hop and identity headers stay here; what belongs to the upgrade goes through.
_PASSED = ("upgrade", "connection", "x-stream-protocol-version", "content-type", "user-agent")


class _ClientSide(asyncio.Protocol):
    """The client's half after the upgrade: what it sends goes to the runtime."""

    def __init__(self, transport: asyncio.Transport, writer: asyncio.StreamWriter) -> None:
        self._transport, self._writer = transport, writer
        self.writable = asyncio.Event()
        self.writable.set()
        self._draining: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > _BUFFER_MAX and self._draining is None:
            self._transport.pause_reading()
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        self._draining = None
        if not self.lost.is_set():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.writable.set()
        self._writer.close()


async def pass_on(request: web.Request, url: str) -> web.StreamResponse:
    """Join `request`'s connection with the one-time `url` of the runtime until either side ends.

    Returns the response to send when the runtime refuses the upgrade.
    """
    target = urlsplit(url)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(target.hostname, target.port, limit=_HEAD_MAX)
            writer.write(_request_head(request, f"{target.path}?{target.query}" if target.query else target.path))
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        return web.Response(status=502, text=f"the container runtime's streaming server does not answer: {error}\n")
    try:
        status = head.split(b"\r\n", 1)[0].split(b" ")[1]
        if status != b"101":
            return await _refusal(int(status), head, reader)
        await _carry(request, reader, writer, head)
    finally:
        writer.close()
    # The connection is closed by now; aiohttp notices when it tries to send this.
    return web.Response(status=101)


def _request_head(request: web.Request, path: str) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.1", "Host: localhost"]
    for name, text in request.headers.items():
        if name.lower() in _PASSED or name.lower().startswith("sec-websocket-"):
            lines.append(f"{name}: {text}")
    if request.method != "GET":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _refusal(status: int, head: bytes, reader: asyncio.StreamReader) -> web.Response:
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, text = line.partition(b":")
        if name.lower() == b"content-length" and text.strip().isdigit():
            length = min(int(text), _BODY_MAX)
    body = b""
    with contextlib.suppress(asyncio.IncompleteReadError):
        body = await reader.readexactly(length)
    # A redirect of the runtime is not for the client to follow: it would lead behind our authorization.
    return web.Response(status=status if status >= 400 else 502, body=body, headers={"Connection": "close"})


async def _carry(request: web.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    # uvloop's transports are asyncio's by shape only, not by class.
    transport = cast(asyncio.Transport, request.transport)
    server = request.protocol
    client = _ClientSide(transport, writer)
    transport.set_protocol(client)
    transport.resume_reading()
    transport.write(head)
    try:
        while not client.lost.is_set():
            try:
                data = await reader.read(_HEAD_MAX)
            except OSError:
                break
            if not data:
                break
            transport.write(data)
            await client.writable.wait()
    finally:
        transport.close()
        # aiohttp's own protocol was taken off the connection: it must still learn that it is over.
        server.connection_lost(None)
