"""The formats of k8s.io/apiserver/pkg/server/healthz, over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from apimachinery.kit.clock import SystemClock
from apimachinery.kit.debug import Check, DebugServer, well

HOST = "127.0.0.1"


async def sick() -> None:
    raise RuntimeError("the reason")


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    with socket.create_server((HOST, 0)) as found:
        port = found.getsockname()[1]
    stop = asyncio.Event()
    running = asyncio.ensure_future(DebugServer(HOST, port, **options).run(stop))
    async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
        while True:
            try:
                await (await session.get("/healthz")).read()
                break
            except aiohttp.ClientConnectionError:
                await SystemClock().sleep(0.01)
        yield session
    stop.set()
    await running


async def ask(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


async def test_a_path_that_there_is_not() -> None:
    async with served() as session:
        assert await ask(session, "/") == (404, "404 page not found\n")
        assert await ask(session, "/healthz/none") == (404, "404 page not found\n")


async def test_every_check_is_told_by_name() -> None:
    checks: dict[str, Check] = {"leaderElection": well}
    async with served(checks=checks, ready={"shutdown": sick}) as session:
        assert await ask(session, "/healthz") == (200, "ok")
        async with session.get("/healthz") as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await ask(session, "/livez?verbose") == (200, "[+]leaderElection ok\nlivez check passed\n")
        assert await ask(session, "/readyz") == (
            500,
            "[+]leaderElection ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n",
        )
        assert await ask(session, "/readyz?exclude=shutdown") == (200, "ok")
        assert await ask(session, "/healthz?verbose&exclude=b&exclude=a") == (
            200,
            '[+]leaderElection ok\nwarn: some health checks cannot be excluded: no matches for "a","b"\n'
            "healthz check passed\n",
        )
        assert await ask(session, "/readyz/shutdown") == (500, "internal server error: the reason\n")
        assert (await ask(session, "/healthz/shutdown"))[0] == 404
        checks["later"] = well
        assert await ask(session, "/healthz/later") == (200, "ok")


async def test_without_checks_that_it_answers_is_the_check() -> None:
    async with served() as session:
        assert await ask(session, "/healthz?verbose") == (200, "[+]ping ok\nhealthz check passed\n")


async def test_what_came_of_checks_is_told_apart_from_metrics() -> None:
    async with served(checks={"observed": sick}) as session:
        await ask(session, "/livez")
        await ask(session, "/livez/observed")
        told = (await ask(session, "/metrics/slis"))[1]
        assert 'kubernetes_healthcheck{name="observed",type="livez"} 0.0' in told
        assert 'kubernetes_healthchecks_total{name="observed",status="error",type="livez"} 1.0' in told
        assert "kubernetes_healthcheck" not in (await ask(session, "/metrics"))[1]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/slis", "/configz", "/readyz"])
async def test_a_port_for_health_shows_nothing_else(path: str) -> None:
    async with served(only_health=True) as session:
        assert await ask(session, "/healthz") == (200, "ok")
        assert (await ask(session, path))[0] == 404
