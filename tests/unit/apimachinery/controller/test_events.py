"""Events on their way to a small real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.controller.events import RETRY_PERIOD, TRIES, EventRecorder
from apimachinery.kit.clock import Clock, ManualClock, SystemClock
from apimachinery.kit.tasks import cancel_and_wait

POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"}}


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[Client]:
    """A client of the application, which listens on loopback."""
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Client(ClientConfig(f"http://127.0.0.1:{port}"), "test") as client:
            yield client
    finally:
        await runner.cleanup()


class Telling:
    """A server of events that can be told to cut connections. held: the events, by name."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.cut = 0  # requests to leave without an answer
        self.asked = 0
        self.changed = asyncio.Event()

    async def create(self, request: web.Request) -> web.Response:
        event = await request.json()
        name = event["metadata"]["name"]
        taken = name in self.held
        self.held.setdefault(name, event)
        return self._answered(
            request, web.json_response({"code": 409} if taken else event, status=409 if taken else 201)
        )

    async def patch(self, request: web.Request) -> web.Response:
        event = self.held.get(request.match_info["name"])
        if event is None:
            return self._answered(request, web.json_response({"code": 404, "reason": "NotFound"}, status=404))
        event.update(await request.json())
        return self._answered(request, web.json_response(event))

    def _answered(self, request: web.Request, answer: web.Response) -> web.Response:
        self.asked += 1
        self.changed.set()
        if self.cut:
            self.cut -= 1
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def until(self, asked: int) -> None:
        while self.asked < asked:
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def telling(clock: Clock, **options: int) -> AsyncIterator[tuple[EventRecorder, Telling]]:
    """(a recorder that is under way, the server that it tells)."""
    server = Telling()
    application = web.Application()
    application.router.add_post("/api/v1/namespaces/default/events", server.create)
    application.router.add_patch("/api/v1/namespaces/default/events/{name}", server.patch)
    async with serving(application) as client:
        recorder = EventRecorder(client, "test", clock=clock, **options)
        sending = asyncio.create_task(recorder.run())
        try:
            async with asyncio.timeout(60):
                yield recorder, server
        finally:
            await cancel_and_wait(sending)


async def test_events_are_counted_up_combined_and_begun_again_when_they_have_expired() -> None:
    async with telling(SystemClock()) as (recorder, server):
        for number in range(12):
            recorder.event(POD, "Normal", "Created", f"pod {number}")
        await server.until(12)
        assert len(server.held) == 10
        (combined,) = [event for event in server.held.values() if event["count"] > 1]
        assert (combined["count"], combined["message"]) == (3, "(combined from similar events): pod 11")
        server.held.clear()
        recorder.event(POD, "Normal", "Created", "pod 12")
        await server.until(14)  # the patch that found nothing, and the creation
        (again,) = server.held.values()
        assert (again["metadata"]["name"], again["count"]) == (combined["metadata"]["name"], 4)


async def test_an_event_without_an_answer_is_sent_again_and_is_there_once() -> None:
    clock = ManualClock()
    async with telling(clock) as (recorder, server):
        server.cut = 2
        for reason in ("First", "Second"):
            recorder.event(POD, "Normal", reason, "")
        while server.asked < 4:  # First three times, then Second
            await clock.advance(RETRY_PERIOD)
        assert [event["reason"] for event in server.held.values()] == ["First", "Second"]


async def test_an_event_is_given_up_after_so_many_tries_and_the_next_is_sent() -> None:
    clock = ManualClock()
    async with telling(clock) as (recorder, server):
        server.cut = TRIES
        for reason in ("First", "Second"):
            recorder.event(POD, "Normal", reason, "")
        while server.asked <= TRIES:
            await clock.advance(RETRY_PERIOD)
        assert server.asked == TRIES + 1 and len(server.held) == 2


async def test_of_a_burst_so_many_wait_and_the_others_are_dropped() -> None:
    async with telling(SystemClock(), queue_max=3) as (recorder, server):
        for number in range(5):
            recorder.event(POD, "Normal", f"Reason{number}", "")
        await server.until(3)
        recorder.event(POD, "Normal", "Last", "")
        await server.until(4)
        assert [event["reason"] for event in server.held.values()] == ["Reason0", "Reason1", "Reason2", "Last"]
