"""What is asked of an API server about the kinds that it serves, when another server's words are handed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import served_resources
from controlplane.controllers.garbage_collector import GarbageCollector

Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[ClientConfig]:
    """A server with one handler for all paths."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield ClientConfig(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def test_a_group_that_is_away_does_not_hide_the_others() -> None:
    entry = {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["list", "delete"]}

    async def answer(request: web.Request) -> web.Response:
        if request.path.startswith("/apis/"):
            return web.Response(status=503, text="service unavailable\n")
        groups = [{"name": name, "preferredVersion": {"groupVersion": f"{name}/v1"}} for name in ("y", "x")]
        found = {"groups": groups} if request.path == "/apis" else {"groupVersion": "v1", "resources": [entry]}
        return web.json_response(found)

    async with served(answer) as config, Client(config, "test") as client:
        found = await served_resources(client, "list", "delete")
    assert [each.plural for each in found.resources] == ["pods"]
    assert found.why_missing() == (
        "unable to retrieve the complete list of server APIs: "
        "x/v1: stale GroupVersion discovery: x/v1, y/v1: stale GroupVersion discovery: y/v1"
    )


async def test_a_kind_is_found_in_the_preferred_version_or_the_first_that_has_it() -> None:
    def entry(name: str) -> dict[str, object]:
        return {"name": name, "kind": name.title(), "namespaced": True, "verbs": ["list", "delete"]}

    versions = [{"groupVersion": f"x/{name}", "version": name} for name in ("v1alpha1", "v1beta1", "v1")]
    held = {"v1": ["foos"], "v1beta1": ["foos", "bars"], "v1alpha1": ["foos", "bazes", "bazes/status"]}

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/apis":
            return web.json_response({"groups": [{"name": "x", "preferredVersion": versions[2], "versions": versions}]})
        version = request.path.rpartition("/")[2]
        names = held[version] if request.path.startswith("/apis/x/") else []
        listed = {"groupVersion": f"x/{version}", "resources": [entry(name) for name in names]}
        return web.json_response(listed)

    async with served(answer) as config, Client(config, "test") as client:
        found = await served_resources(client, "list", "delete")
    assert {each.plural: each.version for each in found.resources} == {
        "foos": "v1",
        "bars": "v1beta1",
        "bazes": "v1alpha1",
    }
    assert found.versions == {"v1", "x/v1", "x/v1beta1", "x/v1alpha1"} and not found.missing


@pytest.mark.parametrize("odd", [b'{"resources":7}', b"[]", b"not JSON", b'{"resources":[{}],"groupVersion":"x/v1"}'])
async def test_odd_words_of_an_aggregated_server_do_not_end_the_collector(
    odd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks again after a second."""
    asked = asyncio.Queue[str]()

    async def answer(request: web.Request) -> web.Response:
        asked.put_nowait(request.path)
        found: object = {"groups": [{"name": "x", "preferredVersion": {"groupVersion": "x/v1"}}]}
        if request.path == "/api/v1":
            found = {"groupVersion": "v1", "resources": []}
        body = odd if request.path == "/apis/x/v1" else orjson.dumps(found)
        return web.Response(body=body, content_type="application/json")

    async with served(answer) as config, Client(config, "test") as client:
        collector = GarbageCollector(Context(client, ControllersConfig(config), SystemClock()))
        running = asyncio.create_task(collector.run())
        async with asyncio.timeout(60):
            for _ in range(2):
                while await asked.get() != "/apis":
                    pass
        assert not running.done() and f"{collector.name}: discovery" in caplog.text
        await cancel_and_wait(running)
