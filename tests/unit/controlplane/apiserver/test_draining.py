"""--shutdown-send-retry-after: a front that drains answers what it began, and tells others to come again."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from aiohttp import web

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver import fronts
from tests.unit.controlplane.apiserver.fronts import contexts as contexts


async def test_what_was_begun_is_answered_first(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = contexts
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def route(_: web.BaseRequest, info: RequestInfo, __: User) -> web.StreamResponse:
        if info.path.startswith("/apis/slow"):
            begun.set()
            await go_on.wait()
        return web.Response(text="fine")

    async with fronts.door(server, route=route) as (front, port), aiohttp.ClientSession() as session:
        base = f"https://127.0.0.1:{port}"
        slow = asyncio.create_task(session.get(f"{base}/apis/slow", ssl=client))
        watching = asyncio.create_task(session.get(f"{base}/apis/slow/v1/things?watch=true", ssl=client))
        async with asyncio.timeout(60):
            await begun.wait()
            draining = asyncio.create_task(front.drain(600))
            await asyncio.sleep(0)
            refused = await session.get(f"{base}/version", ssl=client)
            said = refused.status, refused.headers["Retry-After"], refused.headers["Connection"]
            assert said == (429, "5", "close")
            assert await refused.text() == "The apiserver is shutting down, please try again later.\n"
            for path in ("/readyz", "/livez/ping", "/healthz", "/metrics"):
                assert (await session.get(f"{base}{path}", ssl=client)).status == 200
            assert not draining.done()
            go_on.set()
            assert await (await slow).text() == "fine"
            await draining
            await watching


async def test_who_has_nothing_to_answer_does_not_wait(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with fronts.door(contexts[0]) as (front, _), asyncio.timeout(60):
        await front.drain(600)
