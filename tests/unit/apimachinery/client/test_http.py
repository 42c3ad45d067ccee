"""Connections against a small real server on loopback, which says what it is told to, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from apimachinery.client import http
from apimachinery.client.http import Connections, NotConnected, NotSent, target
from apimachinery.client.http_connection import UNREAD_MAX
from apimachinery.kit.tls import client_context

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Connections]:
    """The client's side of a server each of whose connections is `serve`'s."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(one(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    connections = Connections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/at", None, "User-Agent: test\r\n")
    try:
        async with asyncio.timeout(60):
            yield connections
    finally:
        connections.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def heard(reader: asyncio.StreamReader) -> bytes:
    """A request without a body; IncompleteReadError when the client has gone."""
    return await reader.readuntil(b"\r\n\r\n")


async def test_a_request_and_the_next_on_the_same_connection() -> None:
    requests: list[bytes] = []
    connections_made = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections_made
        connections_made += 1
        while True:
            requests.append(await heard(reader) + await reader.read(4) if not requests else await heard(reader))
            writer.write(OK)

    async with serving(serve) as connections:
        asked = target("/apis/x", {"a": "b c&d"})
        assert await connections.ask("POST", asked, "X: y\r\n", b"body", timeout=30) == (200, b"ok")
        assert await connections.ask("GET", "/", "", None, timeout=30) == (200, b"ok")
    first, second = requests
    assert first.startswith(b"POST /at/apis/x?a=b%20c%26d HTTP/1.1\r\nHost: 127.0.0.1:")
    assert first.endswith(b"User-Agent: test\r\nX: y\r\nContent-Length: 4\r\n\r\nbody")
    assert second.startswith(b"GET /at/ HTTP/1.1\r\n")
    assert connections_made == 1


@pytest.mark.parametrize(("method", "answered"), [("GET", True), ("POST", False)])
async def test_a_kept_connection_that_the_server_closes(method: str, answered: bool) -> None:
    """A read is sent once more; of a write nobody knows whether it happened."""
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await heard(reader)
        seen += 1
        writer.write(OK)
        if seen == 1:
            await heard(reader)  # and says nothing

    async with serving(serve) as connections:
        await connections.ask("GET", "/", "", None, timeout=30)
        if answered:
            assert await connections.ask(method, "/", "", None, timeout=30) == (200, b"ok")
        else:
            with pytest.raises(ConnectionError):
                await connections.ask(method, "/", "", None, timeout=30)


async def test_no_answer_in_time() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        await reader.read()
        gone.set()

    async with serving(serve) as connections:
        with pytest.raises(TimeoutError):
            await connections.ask("GET", "/", "", None, timeout=0.05)
        await gone.wait()  # the late answer is nobody's: the connection is closed


async def test_who_gives_up_waiting_leaves_no_answer_to_the_next() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await heard(reader)).split()[1]
        if path == b"/at/slow":
            asked.set()
            await reader.read()
        writer.write(OK)

    async with serving(serve) as connections:
        slow = asyncio.ensure_future(connections.ask("GET", "/slow", "", None, timeout=30))
        await asked.wait()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await connections.ask("GET", "/", "", None, timeout=30) == (200, b"ok")


async def test_more_requests_than_connections_wait_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS_SOFT_MAX", 4)
    monkeypatch.setattr(http, "PATIENCE", 60.0)
    made = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await heard(reader):
            writer.write(OK)

    async with serving(serve) as connections:
        answers = await asyncio.gather(*(connections.ask("GET", "/", "", None, timeout=60) for _ in range(50)))
    assert answers == [(200, b"ok")] * 50
    assert made == 4


async def test_slow_requests_hold_up_others_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS_SOFT_MAX", 2)
    monkeypatch.setattr(http, "PATIENCE", 0.01)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/slow" in await heard(reader):
            await reader.read()
        writer.write(OK)

    async with serving(serve) as connections:
        slow = [asyncio.ensure_future(connections.ask("GET", "/slow", "", None, timeout=60)) for _ in range(2)]
        await asyncio.sleep(0)
        assert await connections.ask("GET", "/", "", None, timeout=60) == (200, b"ok")
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_nobody_listens_and_what_may_not_be_sent() -> None:
    with pytest.raises(NotConnected, match=r"^dial tcp 127\.0\.0\.1:1: connect: connection refused$"):
        await Connections("http://127.0.0.1:1", None, "").ask("GET", "/", "", None, timeout=30)
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())

    async with serving(serve) as connections:
        with pytest.raises(NotSent):
            await connections.ask("POST", "/", "", b"x", timeout=30, may=lambda: False)
        while not received:
            await asyncio.sleep(0.01)
    assert received == [b""]


async def test_a_stream_is_read_while_it_comes_and_is_not_read_ahead_for_ever() -> None:
    line, count = b"x" * 9999 + b"\n", 2000
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(head)
        for _ in range(count):
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(serve) as connections:
        stream = await connections.listen("/", "", silence=60, line_max=20_000)
        assert await stream.status() == 200
        seen = most = 0
        while lines := await stream.lines():
            seen += len(lines)
            most = max(most, len(lines))
            await asyncio.sleep(0)
        stream.close()
    assert seen == count
    assert most * len(line) < 2 * UNREAD_MAX


@pytest.mark.parametrize("silence", [0.05, 60.0])
async def test_a_stream_that_falls_silent_or_breaks(silence: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        if silence < 60:
            await reader.read()

    async with serving(serve) as connections:
        stream = await connections.listen("/", "", silence=silence, line_max=100)
        assert await stream.lines() == [b"one"]
        with pytest.raises(TimeoutError if silence < 60 else ConnectionError):
            await stream.lines()
        stream.close()


async def test_what_is_no_tls_and_what_ends_without_an_answer() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK[:-1])

    async with serving(plain) as connections:
        secure = Connections(f"https://127.0.0.1:{connections._port}", client_context(), "")
        with pytest.raises(NotConnected, match=r"^http: server gave HTTP response to HTTPS client$"):
            await secure.ask("GET", "/", "", None, timeout=30)
    for serve, told in ((silent, "EOF"), (half, "unexpected EOF")):
        async with serving(serve) as connections:
            with pytest.raises(ConnectionError, match=f"^{told}$"):
                await connections.ask("GET", "/", "", None, timeout=30)


async def test_a_connection_that_is_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        end = writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(reset) as connections:
        told = rf"^read tcp 127\.0\.0\.1:\d+->127\.0\.0\.1:{connections._port}: read: connection reset by peer$"
        with pytest.raises(ConnectionError, match=told):
            await connections.ask("GET", "/", "", None, timeout=30)


async def test_a_server_whose_handshake_takes_too_long() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await reader.read()

    async with serving(silent) as connections:
        secure = Connections(f"https://127.0.0.1:{connections._port}", client_context(), "")
        with pytest.raises(NotConnected, match=r"^net/http: TLS handshake timeout$"):
            await secure.ask("GET", "/", "", None, timeout=0.05)
