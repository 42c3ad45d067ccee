"""The client against a small real server on loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import SystemClock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_pause_ends_when_a_silent_server_answers_somebody_else() -> None:
    port = free_port()
    async with Client(ClientConfig(f"http://127.0.0.1:{port}"), "test") as client:
        with pytest.raises(ApiUnreachable):
            await client.raw("GET", "/readyz")
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
            await asyncio.wait_for(waiting, 10)
        finally:
            await runner.cleanup()


async def test_a_pause_lasts_while_the_server_answers() -> None:
    async with Client(ClientConfig("http://127.0.0.1:1"), "test") as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.pause(3600, SystemClock()), 0.05)
