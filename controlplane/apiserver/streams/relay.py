"""An upgraded connection handed on byte for byte: whatever is spoken on it (SPDY/3.1, WebSocket) passes unread.

The client's transport is taken from the HTTP server once the node agent has answered 101, and given back when both ends
are done. Each side reads only as fast as the other takes.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict

from apimachinery.meta import status
from controlplane.apiserver.streams.forward import Target, is_redirect, redirect_refused

_HEAD_MAX = 64 * 1024
_ANSWER_MAX = 1024 * 1024
_ANSWER_TIMEOUT = 30.0
_PASSED = ("connection", "upgrade", "x-stream-protocol-version", "sec-websocket-", "origin", "user-agent", "accept")


class _Side(asyncio.Protocol):
    """One end. What it receives before it has a peer is kept; afterwards it is written to the peer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Side | None = None
        self.kept = bytearray()
        self.arrived = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by shape only, not by class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)
            return
        self.kept += data
        self.arrived.set()
        if len(self.kept) > _ANSWER_MAX and self.transport is not None:
            self.transport.close()

    def eof_received(self) -> bool:
        return False  # TLS cannot be half closed; the other end is told by closing it

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set()
        self.arrived.set()
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()

    async def until(self, marker: bytes, limit: int) -> bytes:
        """What has come up to and with `marker`. Raises ConnectionError when it does not come."""
        while marker not in self.kept:
            if self.lost.is_set() or len(self.kept) > limit:
                raise ConnectionError("the node agent closed the connection without an answer")
            self.arrived.clear()
            await self.arrived.wait()
        end = self.kept.index(marker) + len(marker)
        taken = bytes(self.kept[:end])
        del self.kept[:end]
        return taken

    async def rest(self, length: int) -> bytes:
        """The next `length` bytes, or what comes until the end."""
        while len(self.kept) < length and not self.lost.is_set():
            self.arrived.clear()
            await self.arrived.wait()
        return bytes(self.kept[:length])


class Relayed(web.StreamResponse):
    """The answer of a connection that is no longer HTTP: nothing is left to send."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> Any:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    @property
    def prepared(self) -> bool:
        return True


async def relay(request: web.BaseRequest, target: Target, path: str) -> web.StreamResponse:
    """Hand the request on; when it is answered with 101, the connection too, until either end closes it.

    Any other answer is the client's answer, and ends the connection. Raises ApiError 500, 503.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT):
            _, server = await loop.create_connection(_Side, target.host, target.port, ssl=target.tls)
    except (OSError, TimeoutError) as error:
        raise status.internal(f"error dialing backend: {error}") from None
    assert server.transport is not None
    try:
        server.transport.write(_request_head(request, target, path))
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                head = await server.until(b"\r\n\r\n", _HEAD_MAX)
                code, headers = _parse_head(head)
                if is_redirect(code, headers):
                    return redirect_refused()
                if code != 101:
                    return await _refusal(server, code, headers)
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise status.internal(f"error upgrading connection: {error}") from None
        await _splice(request, server, head)
        return Relayed()
    finally:
        server.transport.close()


async def _splice(request: web.BaseRequest, server: _Side, head: bytes) -> None:
    transport = request.transport
    if transport is None:
        return
    assert server.transport is not None
    owner = transport.get_protocol()
    client = _Side()
    client.transport, client.peer = transport, server
    transport.set_protocol(client)
    transport.write(head + bytes(server.kept))
    server.kept.clear()
    server.peer = client
    if server.lost.is_set():
        transport.close()
    else:
        transport.resume_reading()
    try:
        done = [asyncio.ensure_future(side.lost.wait()) for side in (client, server)]
        await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
        for waiter in done:
            waiter.cancel()
    finally:
        server.peer = client.peer = None
        transport.set_protocol(owner)
        if client.lost.is_set():
            asyncio.get_running_loop().call_soon(owner.connection_lost, None)


def _request_head(request: web.BaseRequest, target: Target, path: str) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {host}:{target.port}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower().startswith(_PASSED)]
    if request.method != "GET":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _parse_head(head: bytes) -> tuple[int, CIMultiDict[str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.add(name.strip(), value.strip())
    return int(first.split(" ", 2)[1]), headers


async def _refusal(server: _Side, code: int, headers: CIMultiDict[str]) -> web.Response:
    length = headers.get("Content-Length", "")
    body = await server.rest(int(length) if length.isdecimal() else _ANSWER_MAX)
    response = web.Response(status=code, body=body)
    response.headers["Content-Type"] = headers.get("Content-Type", "text/plain")
    response.force_close()
    return response
