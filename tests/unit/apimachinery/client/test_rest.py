"""The client against a small real server on loopback."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from aiohttp import web

from apimachinery.api.catalogue import NODES
from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta.status import ApiError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_pause_ends_when_a_silent_server_answers_somebody_else() -> None:
    port = free_port()
    async with Client(ClientConfig(f"http://127.0.0.1:{port}"), "test") as client:
        with pytest.raises(ApiUnreachable) as caught:
            await client.raw("GET", "/readyz", {"a": "b"})
        where = f"127.0.0.1:{port}"
        assert str(caught.value) == f'Get "http://{where}/readyz?a=b": dial tcp {where}: connect: connection refused'
        waiting = asyncio.create_task(client.pause(3600, SystemClock()))

        async def answer(_: web.Request) -> web.Response:
            return web.Response(text="ok")

        application = web.Application()
        application.router.add_get("/readyz", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            assert not waiting.done()
            assert await client.raw("GET", "/readyz") == b"ok"
            async with asyncio.timeout(10):
                await waiting
        finally:
            await runner.cleanup()


async def test_a_pause_lasts_while_the_server_answers() -> None:
    async with Client(ClientConfig("http://127.0.0.1:1"), "test") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.pause(3600, SystemClock())


async def test_another_identity_ends_watches_and_lets_requests_finish() -> None:
    port, go = free_port(), asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED","object":{}}\n')
        await asyncio.sleep(60)
        return response

    async def slow(_: web.Request) -> web.Response:
        await go.wait()
        return web.Response(text="done")

    application = web.Application()
    application.router.add_get("/api/v1/nodes", watch)
    application.router.add_get("/slow", slow)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        config = ClientConfig(f"http://127.0.0.1:{port}")
        async with Client(config, "test") as client:
            seen = asyncio.Event()

            async def look() -> None:
                async for _ in client.watch(NODES):
                    seen.set()

            looking = asyncio.create_task(look())
            asking = asyncio.create_task(client.raw("GET", "/slow"))
            async with asyncio.timeout(10):
                await seen.wait()
            await client.show(replace(config, token="new"))
            with pytest.raises(ApiUnreachable):
                async with asyncio.timeout(10):
                    await looking
            assert client.config.token == "new"
            go.set()
            async with asyncio.timeout(10):
                assert await asking == b"done"
    finally:
        await runner.cleanup()


async def test_requests_are_counted_by_code_method_and_host() -> None:
    port = free_port()
    host = f"127.0.0.1:{port}"

    def counted(code: str, method: str) -> float:
        labels = {"code": code, "method": method, "host": host}
        return REGISTRY.get_sample_value("rest_client_requests_total", labels) or 0.0

    def timed(verb: str) -> float:
        labels = {"verb": verb, "host": host}
        return REGISTRY.get_sample_value("rest_client_request_duration_seconds_count", labels) or 0.0

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": 404}, status=404 if request.method == "DELETE" else 200)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    async with Client(ClientConfig(f"http://{host}"), "test") as client:
        with pytest.raises(ApiUnreachable):
            await client.get(NODES, "n")
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            await client.get(NODES, "n")
            with pytest.raises(ApiError):
                await client.delete(NODES, "n")
            async for _ in client.watch(NODES):
                break
        except KeyError:
            pass  # what it says is no event
        finally:
            await runner.cleanup()
    assert (counted("<error>", "GET"), counted("200", "GET"), counted("404", "DELETE")) == (1, 2, 1)
    assert (timed("GET"), timed("DELETE")) == (2, 1), "a watch is not timed"
