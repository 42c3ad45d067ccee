"""A port that somebody else has when the proxy starts."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.debug import DebugServer
from nodeagent.proxy.doors import RETRY_SECONDS, keep_open
from nodeagent.proxy.health import Healthz

HOST = "127.0.0.1"


def healthz(port: int, clock: ManualClock) -> Callable[[asyncio.Event], Awaitable[None]]:
    health = Healthz([], clock, 60.0, lambda: True)
    return lambda stop: health.serve(HOST, port, stop)


def metrics(port: int, _: ManualClock) -> Callable[[asyncio.Event], Awaitable[None]]:
    return DebugServer(HOST, port).run


@pytest.mark.parametrize("server", [healthz, metrics])
async def test_a_taken_port_is_tried_again(
    server: Callable[[int, ManualClock], Callable[[asyncio.Event], Awaitable[None]]],
) -> None:
    clock, stop = ManualClock(), asyncio.Event()
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        running = asyncio.ensure_future(keep_open("Healthz", server(port, clock), stop, clock))
        await clock.advance(RETRY_SECONDS * 2.5)
        assert not running.done()
    await clock.advance(RETRY_SECONDS)
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/healthz") as response:
        assert response.status == 200
    stop.set()
    await running
