"""What servers answer to a probe, in upstream's words (pkg/probe/http, pkg/probe/grpc); real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from nodeagent.kubelet.probes.check import Answer, check

HOST = "127.0.0.1"
SERVED = "http://127.0.0.1:{port}"


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
        ["User-Agent: kube-probe/1.32", "X: 1", "X: 2", "Y: ", "Host: example.org"],
        [f"Host: {HOST}:{port}", "User-Agent: kube-probe/1.32", "Accept: */*"],
    ]


async def test_http_that_redirects_for_ever() -> None:
    async with web({"/loop": ("302 Found", "/loop", "")}) as port:
        answer = await ask({"httpGet": {"path": "/loop", "port": port}})
        assert answer == Answer(False, f'Get "http://{HOST}:{port}/loop": stopped after 10 redirects')


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
