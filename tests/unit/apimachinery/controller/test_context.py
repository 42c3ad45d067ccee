"""Who may start when not everything can be read, on a small real server."""

from __future__ import annotations

import asyncio

from aiohttp import web

from apimachinery.api.catalogue import NODES, SECRETS, Resource
from apimachinery.controller.context import BaseContext
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from tests.unit.apimachinery.controller.event_server import serving

_EMPTY = b'{"metadata":{"resourceVersion":"7"},"items":[]}'


class Reader:
    """A controller that reads one kind."""

    def __init__(self, context: BaseContext, kind: Resource) -> None:
        self.name = kind.plural
        context.informers.get(kind)
        self.started = asyncio.Event()

    async def run(self) -> None:
        self.started.set()
        await asyncio.Event().wait()


class Unreadable:
    """A server whose secrets cannot be read until they are mended."""

    def __init__(self) -> None:
        self.asked, self.over, self.mended = asyncio.Event(), asyncio.Event(), False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await self.over.wait()
            return response
        if request.path.endswith("/secrets"):
            self.asked.set()
            if not self.mended:
                return web.json_response({"code": 500, "reason": "InternalError"}, status=500)
        return web.Response(body=_EMPTY, content_type="application/json")


async def test_what_cannot_be_read_keeps_back_only_those_who_read_it() -> None:
    server, application = Unreadable(), web.Application()
    application.router.add_get("/api/v1/{kind}", server.answer)
    async with serving(application) as client, asyncio.timeout(60):
        context = BaseContext(client, SystemClock())
        reads_secrets = context.make(lambda given: Reader(given, SECRETS))
        reads_nodes = context.make(lambda given: Reader(given, NODES))
        shares_nodes = context.make(lambda given: Reader(given, NODES))
        reads_all = Reader(context, NODES)
        running = asyncio.create_task(context.run([reads_secrets, reads_nodes, shares_nodes, reads_all]))
        try:
            await server.asked.wait()
            await reads_nodes.started.wait()
            await shares_nodes.started.wait()
            assert not reads_secrets.started.is_set()
            assert not reads_all.started.is_set(), "nobody knows what it needs"
            server.mended = True
            await reads_secrets.started.wait()
            await reads_all.started.wait()
        finally:
            server.over.set()
            await cancel_and_wait(running)
