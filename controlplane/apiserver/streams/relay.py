"""An upgraded connection handed on byte for byte: whatever is spoken on it (SPDY/3.1, WebSocket) passes unread.

The client's transport is taken from the HTTP server once the node agent has answered 101, and given back when both ends
are done. Each side reads only as fast as the other takes.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web

from controlplane.apiserver.audit.trail import begun
from controlplane.apiserver.streams.forward import Sent
from controlplane.apiserver.streams.target import Target
from controlplane.apiserver.streams.upgrade import (
    ANSWER_TIMEOUT,
    BODY_MAX,
    HEAD_MAX,
    body_length,
    failure,
    parse_head,
    refused,
    request_head,
)


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
        if len(self.kept) > BODY_MAX and self.transport is not None:
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


async def relay(request: web.BaseRequest, target: Target, sent: Sent) -> web.StreamResponse:
    """Hand the request on; when it is answered with 101, the connection too, until either end closes it.

    Any other answer is the client's answer, and ends the connection. Raises ApiError 500.
    """
    loop = asyncio.get_running_loop()
    name = (target.server_name or target.host) if target.tls else None
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            _, server = await loop.create_connection(
                _Side, target.host, target.port, ssl=target.tls, server_hostname=name
            )
    except (OSError, TimeoutError) as error:
        raise failure(f"error dialing backend: {target.unreachable(error)}") from None
    assert server.transport is not None
    try:
        server.transport.write(request_head(target, sent))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                head = await server.until(b"\r\n\r\n", HEAD_MAX)
                code, headers = parse_head(head)
                body = b"" if code == 101 else await server.rest(body_length(headers))
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise failure(f"error upgrading connection: {error}") from None
        if code != 101:
            return refused(code, headers, body)
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
    begun(request, 101)
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
