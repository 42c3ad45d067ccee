"""Connections that say nothing, or never enough, are closed; two servers may share a port; who goes away."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from apimachinery.kit import tls
from apimachinery.kit.certs import Authority
from controlplane.apiserver.authn.user import ANONYMOUS, User
from controlplane.apiserver.authz.union import AlwaysAllow, Union
from controlplane.apiserver.front.request_info import RequestInfo
from controlplane.apiserver.front.server import Front

HALF = b"GET /half HTTP/1.1\r\nHost: x\r\nX-Sl"
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class _Nobody:
    async def authenticate(self, *_: object) -> User:
        return ANONYMOUS


async def _route(_: web.BaseRequest, __: RequestInfo, ___: User) -> web.StreamResponse:
    return web.Response(text="fine")


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority.create("test")
    pair = authority.issue("server", ips=["127.0.0.1"], server=True)
    for name, data in (("crt", pair.cert_pem), ("key", pair.key_pem)):
        (tmp_path / name).write_bytes(data)
    return tls.server_context(tmp_path / "crt", tmp_path / "key"), tls.client_context(authority.pair.cert_pem)


@asynccontextmanager
async def serving(context: ssl.SSLContext, port: int = 0, **options: Any) -> AsyncIterator[int]:
    share, route = options.pop("share", False), options.pop("route", _route)
    front = Front(route, cast("Any", _Nobody()), Union([AlwaysAllow()]), **options)
    yield await front.start("127.0.0.1", port, context, share=share)
    await front.stop()


async def test_half_a_request_does_not_hold_a_connection(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = contexts
    async with serving(server, header_timeout=0.3) as port, asyncio.timeout(10):
        streams = [await asyncio.open_connection("127.0.0.1", port, ssl=client) for _ in range(20)]
        served_reader, served = streams.pop()
        served.write(WHOLE)
        assert await served_reader.readuntil(b"fine")
        for _, writer in streams:
            writer.write(HALF)
        for reader, writer in streams:
            assert await reader.read() == b"", "closed without an answer"
            writer.close()
        served.write(WHOLE)
        assert await served_reader.readuntil(b"fine"), "a connection that has asked goes on"
        served.close()


async def test_two_servers_share_a_port(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = contexts
    async with serving(server, share=True) as port, asyncio.timeout(10):
        with pytest.raises(OSError, match="in use"):
            async with serving(server, port):
                pass
        async with serving(server, port, share=True) as other:
            assert other == port
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            writer.write(WHOLE)
            assert await reader.readuntil(b"fine")
            writer.close()


@pytest.mark.parametrize(
    ("request_line", "end"),
    [
        pytest.param("GET /api/v1/nodes", "cancelled", id="a-read"),
        pytest.param("GET /api/v1/nodes?watch=true", "cancelled", id="a-watch"),
        pytest.param("DELETE /api/v1/nodes/n", "finished", id="a-write"),
    ],
)
async def test_a_client_goes_away(contexts: tuple[ssl.SSLContext, ssl.SSLContext], request_line: str, end: str) -> None:
    """A read ends with its client, a write does not."""
    server, client = contexts
    begun, gone = asyncio.Event(), asyncio.Event()
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def route(request: web.BaseRequest, _: RequestInfo, __: User) -> web.StreamResponse:
        begun.set()
        try:
            await gone.wait()
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise
        ended.set_result("finished")
        return web.Response(text="fine")

    async with serving(server, route=route) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await begun.wait()
        writer.transport.abort()
        if end == "finished":
            # Another connection is served after this one was seen to end: the server has had its turn.
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            writer.close()
            assert await reader.read() == b""
            gone.set()
        assert await ended == end
