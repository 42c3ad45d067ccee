"""What servers answer to a probe, in upstream's words (pkg/probe/http, pkg/probe/grpc); real servers on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import grpc.aio
import pytest

from apimachinery.kit.selfsigned import self_signed_context
from nodeagent.kubelet.probes.check import Answer, check

HOST = "127.0.0.1"
SERVED = "http://127.0.0.1:{port}"


class Raw(NamedTuple):
    """A server's port, and what it was asked."""

    port: int
    asked: list[bytes]


@asynccontextmanager
async def web(pages: dict[str, tuple[str, str, str]]) -> AsyncIterator[int]:
    """Serves path → (status, Location, body); `{port}` in a Location is the server's own. Yields the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        status, location, body = pages[path]
        where = f"Location: {location.format(port=port)}\r\n" if location else ""
        writer.write(f"HTTP/1.1 {status}\r\n{where}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    async with await asyncio.start_server(answer, HOST) as server:
        port = server.sockets[0].getsockname()[1]
        yield port


async def ask(probe: dict[str, Any]) -> Answer:
    runtime: Any = None
    return await check(runtime, {"timeoutSeconds": 5, **probe}, {"name": "main"}, "id", HOST)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/ok", Answer(True, "fine")),
        ("/bad", Answer(False, "HTTP probe failed with statuscode: 500")),
        ("/a/relative", Answer(True, "fine")),
        ("/whole", Answer(False, "HTTP probe failed with statuscode: 500")),
        ("/elsewhere", Answer(True, "Probe terminated redirects, Response body: Found.", warning=True)),
        ("/nowhere", Answer(True, "Probe terminated redirects, Response body: lost", warning=True)),
        ("/choices", Answer(True, "Probe terminated redirects, Response body: two", warning=True)),
        ("/query?a=b", Answer(True, "asked")),
    ],
)
async def test_http(path: str, answer: Answer) -> None:
    pages = {
        "/ok": ("200 OK", "", "fine"),
        "/bad": ("500 Internal Server Error", "", "no"),
        "/a/relative": ("302 Found", "../ok", ""),
        "/whole": ("307 Temporary Redirect", f"{SERVED}/bad", ""),
        "/elsewhere": ("302 Found", "http://0.0.0.0/", "Found."),
        "/nowhere": ("302 Found", "", "lost"),
        "/choices": ("300 Multiple Choices", "/ok", "two"),
        "/query?a=b": ("200 OK", "", "asked"),
    }
    async with web(pages) as port:
        assert await ask({"httpGet": {"path": path, "port": port}}) == answer


async def test_the_headers_of_a_request() -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, HOST) as server:
        port = server.sockets[0].getsockname()[1]
        headers = [("X", "1"), ("X", "2"), ("Y", ""), ("Accept", ""), ("Host", "example.org")]
        listed = [{"name": name, "value": text} for name, text in headers]
        await ask({"httpGet": {"path": "/", "port": port, "httpHeaders": listed}})
        await ask({"httpGet": {"path": "/", "port": port}})
    lines = [request.decode().splitlines()[1:-2] for request in asked]
    assert lines == [
        ["Host: example.org", "User-Agent: kube-probe/1.32", "X: 1", "X: 2", "Y: "],
        [f"Host: {HOST}:{port}", "User-Agent: kube-probe/1.32", "Accept: */*"],
    ]


async def test_http_that_redirects_for_ever() -> None:
    async with web({"/loop": ("302 Found", "/loop", "")}) as port:
        answer = await ask({"httpGet": {"path": "/loop", "port": port}})
        assert answer == Answer(False, 'Get "/loop": stopped after 10 redirects')


@asynccontextmanager
async def raw(said: bytes, *, close: bool = False, context: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    """A server that says this to everybody once it was asked, and then only waits, unless it is to close."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        writer.write(said)
        if not close:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, HOST, ssl=context) as server:
        yield Raw(server.sockets[0].getsockname()[1], asked)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", "fine"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfin\r\n1\r\ne\r\n0\r\n\r\n", "fine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 10240, "x" * 10240),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", "fine"),
    ],
)
async def test_an_answer_ends_where_it_says_so(said: bytes, body: str) -> None:
    """Not every server closes the connection when it is asked to."""
    async with raw(said) as server:
        assert await ask({"httpGet": {"path": "/", "port": server.port}}) == Answer(True, body)


async def test_a_server_may_end_its_lines_with_bare_newlines() -> None:
    async with raw(b"HTTP/1.0 200 OK\n\nhello\n", close=True) as server:
        assert await ask({"httpGet": {"path": "/", "port": server.port}}) == Answer(True, "hello\n")


async def test_a_body_that_breaks_off_says_nothing_of_the_container() -> None:
    async with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close=True) as server:
        answer = await ask({"httpGet": {"path": "/", "port": server.port}})
    assert answer == Answer(False, "unexpected EOF", unknown=True, state="failure") and len(server.asked) == 3


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "EOF"),
        (
            b"\x15\x03\x01\x00\x02\x02",
            'net/http: HTTP/1.x transport connection broken: malformed HTTP response "\\x15\\x03\\x01\\x00\\x02\\x02"',
        ),
        (b"HTTP/1.1 OK 200\r\n\r\n", 'net/http: HTTP/1.x transport connection broken: malformed HTTP status code "OK"'),
    ],
)
async def test_what_is_no_answer(said: bytes, problem: str) -> None:
    async with raw(said, close=True) as server:
        answer = await ask({"httpGet": {"path": "/", "port": server.port}})
    assert answer == Answer(False, f'Get "http://{HOST}:{server.port}/": {problem}')


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a b", b"/a%20b"),
        ("/ü", b"/%C3%BC"),
        ("/a%2Fb(c)", b"/a%2Fb(c)"),
        ("/50%?a=b", b"/50%25%3Fa=b"),
        ("health?a=b#c", b"/health?a=b"),
        ("http://example.org/x", b"/x"),
        ("/x HTTP/1.1\r\nX: y\r\n", b"/x%20HTTP/1.1%0D%0AX:%20y%0D%0A"),
    ],
)
async def test_the_path_of_a_request(path: str, sent: bytes) -> None:
    async with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as server:
        assert (await ask({"httpGet": {"path": path, "port": server.port}})).passed
    assert server.asked[0].startswith(b"GET " + sent + b" HTTP/1.1\r\nHost: ")


async def test_a_header_is_one_line() -> None:
    async with raw(b"") as server:
        headers = [{"name": "x-one", "value": "a\r\nX-Two: b"}]
        answer = await ask({"httpGet": {"path": "/", "port": server.port, "httpHeaders": headers}})
    why = f'Get "http://{HOST}:{server.port}/": net/http: invalid header field value for "X-One"'
    assert answer == Answer(False, why) and not server.asked


async def test_headers_that_would_change_what_a_request_is_are_not_sent() -> None:
    async with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as server:
        headers = [{"name": "content-length", "value": "5"}, {"name": "transfer-encoding", "value": "chunked"}]
        assert (await ask({"httpGet": {"path": "/", "port": server.port, "httpHeaders": headers}})).passed
    assert b"ontent-" not in server.asked[0] and b"hunked" not in server.asked[0]


async def test_a_host_that_was_asked_for_is_not_taken_along_to_another_address() -> None:
    async with web({"/ok": ("200 OK", "", "")}) as elsewhere:
        location = f"Location: http://{HOST}:{elsewhere}/ok".encode()
        async with raw(b"HTTP/1.1 302 Found\r\n%b\r\nContent-Length: 0\r\n\r\n" % location) as server:
            host = [{"name": "Host", "value": "example.org"}]
            assert (await ask({"httpGet": {"path": "/", "port": server.port, "httpHeaders": host}})).passed
    assert b"Host: example.org\r\n" in server.asked[0]


async def test_https() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with raw(said, context=self_signed_context("probed")) as server:
        assert await ask({"httpGet": {"path": "/", "port": server.port, "scheme": "HTTPS"}}) == Answer(True, "ok")


async def test_https_of_a_server_that_knows_none() -> None:
    async with raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True) as server:
        answer = await ask({"httpGet": {"path": "/", "port": server.port, "scheme": "HTTPS"}})
    why = "http: server gave HTTP response to HTTPS client"
    assert answer == Answer(False, f'Get "https://{HOST}:{server.port}/": {why}')


@pytest.mark.parametrize("kind", ["httpGet", "tcpSocket"])
async def test_where_nobody_listens(kind: str) -> None:
    async with web({}) as port:
        pass
    answer = await ask({kind: {"path": "/", "port": port}})
    what = f'Get "http://{HOST}:{port}/": ' if kind == "httpGet" else ""
    assert answer == Answer(False, f"{what}dial tcp {HOST}:{port}: connect: connection refused")


async def test_a_host_without_an_address() -> None:
    answer = await ask({"tcpSocket": {"host": "no.such.host.invalid", "port": 80}})
    assert answer == Answer(False, "dial tcp: lookup no.such.host.invalid: no such host")


Health = Callable[[bytes, Any], Awaitable[bytes]]


@asynccontextmanager
async def health(check: Health | None) -> AsyncIterator[int]:
    """A server with grpc.health.v1.Health/Check, or without; yields its port."""
    server = grpc.aio.server()
    if check is not None:
        handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def test_grpc() -> None:
    async def serve(asked: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata())
        assert metadata["user-agent"].startswith("kube-probe/1.32")
        service = asked[2:].decode()
        if service == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        if service == "slow":
            await asyncio.Event().wait()
        return {"": b"\x08\x01", "down": b"\x08\x02", "silent": b""}[service]

    async with health(serve) as port:

        async def say(service: str, timeout: int = 5) -> Answer:
            return await ask({"grpc": {"port": port, "service": service}, "timeoutSeconds": timeout})

        assert await say("") == Answer(True, "service healthy")
        assert await say("down") == Answer(False, 'service unhealthy (responded with "NOT_SERVING")')
        assert await say("silent") == Answer(False, 'service unhealthy (responded with "UNKNOWN")')
        failed = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"
        assert await say("unknown") == Answer(False, failed)
        assert await say("slow", 1) == Answer(False, "timeout: health rpc did not complete within 1s")


async def test_grpc_without_the_health_service() -> None:
    async with health(None) as port:
        answer = await ask({"grpc": {"port": port}})
    assert not answer.passed and answer.message.startswith(
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
    )


async def test_grpc_where_nobody_listens() -> None:
    async with web({}) as port:
        pass
    answer = await ask({"grpc": {"port": port}, "timeoutSeconds": 1})
    why = f'failed to connect service "{HOST}:{port}" within 1s: context deadline exceeded'
    assert answer == Answer(False, f"timeout: {why}")
