"""A small real server of events on loopback, and recorders that tell it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.kit.tasks import cancel_and_wait

POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"}}


class Recorder(Protocol):
    """Any of our recorders."""

    async def run(self) -> None: ...


_R = TypeVar("_R", bound=Recorder)


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
async def telling(make: Callable[[Client], _R]) -> AsyncIterator[tuple[_R, Telling]]:
    """(the recorder that `make` made, under way; the server that it tells)."""
    server = Telling()
    application = web.Application()
    for group in ("/api/v1", "/apis/events.k8s.io/v1"):
        application.router.add_post(group + "/namespaces/default/events", server.create)
        application.router.add_patch(group + "/namespaces/default/events/{name}", server.patch)
    async with serving(application) as client:
        recorder = make(client)
        sending = asyncio.create_task(recorder.run())
        try:
            async with asyncio.timeout(60):
                yield recorder, server
        finally:
            await cancel_and_wait(sending)
