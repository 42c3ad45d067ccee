"""Connections that say nothing, or never enough, are closed; two servers may share a port; who goes away."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from aiohttp import web

from apimachinery.kit.trace import Trace, current
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.union import AlwaysDeny
from controlplane.apiserver.front.deadlines import Deadlines
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver.fronts import contexts, serving

__all__ = ["contexts"]

HALF = b"GET /half HTTP/1.1\r\nHost: x\r\nX-Sl"
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


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


async def test_what_is_noted_for_one_request_is_not_for_the_next(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Leases and reads are not traced, also not on a connection whose other requests are."""
    server, client = contexts
    trace = Trace("test")
    rings: list[Trace | None] = []

    async def route(request: web.BaseRequest, _: RequestInfo, __: User) -> web.StreamResponse:
        await asyncio.sleep(0)
        rings.append(current())
        if "bad" in request.path:
            raise RuntimeError("told as an internal error")
        return web.Response(text="fine")

    asked = ["POST /api/v1/pods", "POST /apis/coordination.k8s.io/v1/leases", "POST /api/v1/bad", "GET /api/v1/pods"]
    async with serving(server, route=route, trace=trace) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write("".join(f"{each} HTTP/1.1\r\nHost: x\r\n\r\n" for each in asked).encode())
        for end in (b"fine", b"fine", b"Error", b"fine"):
            await reader.readuntil(end)
        writer.close()
    assert rings == [trace, None, trace, None]
    assert [entry.what for entry in trace._entries] == ["request", "request"]


async def test_a_request_that_took_too_long_is_not_the_last(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """One task serves them all: that it was cancelled for one request is forgotten with that request."""
    server, client = contexts

    async def route(request: web.BaseRequest, _: RequestInfo, __: User) -> web.StreamResponse:
        if "slow" in request.path:
            await asyncio.get_running_loop().create_future()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return web.Response(text="fine")

    async with serving(server, route=route, deadlines=Deadlines(0.2, 0.05)) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        for method, path, end in [("GET", "/slow", b'"code":504}'), ("GET", "/", b"fine")] * 2 + [
            ("POST", "/api/v1/namespaces/slow/pods", b'"code":504}'),
            ("POST", "/api/v1/pods", b"fine"),
        ]:
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(end)
        writer.close()


async def test_a_body_that_nobody_asked_for_may_be_anything(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    """It is read to its end all the same; that it cannot be unpacked ends the connection, and no more is said of it."""
    server, client = contexts
    async with serving(server) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n")
        assert await reader.readuntil(b"fine"), "answered before there is a body"
        writer.write(b"not gzip.")
        assert await reader.read() == b"", "closed"
        writer.close()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("allowed", [True, False])
async def test_who_waits_to_be_asked_for_the_body(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], allowed: bool
) -> None:
    server, client = contexts

    async def route(request: web.BaseRequest, _: RequestInfo, __: User) -> web.StreamResponse:
        return web.Response(body=await request.read())

    options = {} if allowed else {"authorizer": AlwaysDeny()}
    async with serving(server, route=route, **options) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(b"POST /api/v1/pods HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        first = await reader.readline()
        if allowed:
            assert first == b"HTTP/1.1 100 Continue\r\n"
            writer.write(b"body" + WHOLE.replace(b"GET", b"POST"))
            await reader.readuntil(b"body")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n", "the connection goes on"
        else:
            assert first.startswith(b"HTTP/1.1 403")
            assert b"Connection: close" in await reader.readuntil(b"\r\n\r\n"), "what comes next may be the body"
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * (2 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (2 << 20),
    ],
    ids=["path", "header"],
)
async def test_headers_that_are_too_large(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], request_bytes: bytes
) -> None:
    server, client = contexts
    async with serving(server) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(request_bytes)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert body == b"431 Request Header Fields Too Large"


@pytest.mark.parametrize(
    ("request_bytes", "more"),
    [
        (b"nonsense\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nNo Name: y\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\n\r\n", b": missing required Host header"),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ],
)
async def test_what_is_no_http(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], request_bytes: bytes, more: bytes
) -> None:
    server, client = contexts
    async with serving(server) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(request_bytes)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    first, *lines = head.split(b"\r\n")
    assert first == b"HTTP/1.1 400 Bad Request" and body == b"400 Bad Request" + more
    assert {b"Connection: close", b"Content-Type: text/plain; charset=utf-8"} <= set(lines)
