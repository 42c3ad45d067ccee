"""The local copy of a small real server's objects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from apimachinery.api.catalogue import NODES
from apimachinery.cache.informer import Informer
from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.kit.tasks import cancel_and_wait


@contextlib.asynccontextmanager
async def server(*lists: bytes) -> AsyncIterator[str]:
    """Gives out these lists, one after the other, the last again and again; its watches say nothing. Its URL."""
    left = list(lists)

    async def nodes(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.Response(body=left.pop(0) if len(left) > 1 else left[0], content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    application = web.Application()
    application.router.add_get("/api/v1/nodes", nodes)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("odd", [b"{}", b"[]", b"{", b'{"items":[{}],"metadata":{}}'])
async def test_an_answer_that_nobody_can_read_ends_nothing(odd: bytes, caplog: pytest.LogCaptureFixture) -> None:
    good = b'{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a","uid":"u","resourceVersion":"5"}}]}'
    async with server(odd, good) as url, Client(ClientConfig(url), "test") as client:
        informer = Informer(client, NODES)
        running = asyncio.create_task(informer.run())
        async with asyncio.timeout(60):
            await informer.wait_synced()
        assert informer.lister.get("a") is not None and not running.done()
        assert "following nodes failed" in caplog.text
        await cancel_and_wait(running)
