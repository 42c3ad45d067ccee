"""Events on their way to a small real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.controller.events import PATIENCE, EventRecorder
from apimachinery.kit.clock import ManualClock, SystemClock
from apimachinery.kit.tasks import cancel_and_wait

POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"}}


@asynccontextmanager
async def recording(give_way: Callable[[float], Awaitable[None]], clock: Any) -> AsyncIterator[tuple[Any, Any]]:
    """(a recorder that is under way, the queue of reasons that the server was told of)."""
    told: asyncio.Queue[str] = asyncio.Queue()

    async def create(request: web.Request) -> web.Response:
        event = await request.json()
        told.put_nowait(event["reason"])
        return web.json_response(event, status=201)

    application = web.Application()
    application.router.add_post("/api/v1/namespaces/default/events", create)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Client(ClientConfig(f"http://127.0.0.1:{port}"), "test") as client:
            recorder = EventRecorder(client, "test", clock=clock, give_way=give_way)
            sending = asyncio.create_task(recorder.run())
            try:
                yield recorder, told
            finally:
                await cancel_and_wait(sending)
    finally:
        await runner.cleanup()


async def test_events_give_way_and_are_sent_in_their_order() -> None:
    asked: list[float] = []
    free = asyncio.Event()

    async def give_way(seconds: float) -> None:
        asked.append(seconds)
        await free.wait()

    async with recording(give_way, SystemClock()) as (recorder, told), asyncio.timeout(60):
        for reason in ("First", "Second"):
            recorder.event(POD, "Normal", reason, "")
        while not asked:
            await asyncio.sleep(0)
        assert told.empty() and 0 < asked[0] <= PATIENCE
        free.set()
        assert [await told.get(), await told.get()] == ["First", "Second"]


async def test_what_has_waited_long_waits_no_more() -> None:
    asked: list[float] = []
    clock, free = ManualClock(SystemClock().now()), asyncio.Event()

    async def give_way(seconds: float) -> None:
        asked.append(seconds)
        await free.wait()

    async with recording(give_way, clock) as (recorder, told), asyncio.timeout(60):
        for reason in ("First", "Second"):
            recorder.event(POD, "Normal", reason, "")
        while not asked:
            await asyncio.sleep(0)
        await clock.advance(PATIENCE)
        free.set()
        assert [await told.get(), await told.get()] == ["First", "Second"]
        assert asked == [PATIENCE], "the second was as old as it may be"
