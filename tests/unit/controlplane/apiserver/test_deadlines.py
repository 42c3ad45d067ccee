"""A time limit for many tasks by one timer."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import pytest
from aiohttp import web

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.deadlines import Deadlines
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver import fronts
from tests.unit.controlplane.apiserver.fronts import contexts as contexts

LATE = 0.02  # seconds


async def _within(deadlines: Deadlines, seconds: float) -> str:
    task = asyncio.current_task()
    assert task is not None
    return await deadlines.within(asyncio.sleep(seconds, "done"), task)


async def test_what_takes_too_long_is_told_and_its_task_goes_on() -> None:
    deadlines = Deadlines(LATE, LATE)
    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError):
            await _within(deadlines, 600)
        assert await _within(deadlines, 0) == "done"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "nobody is told that it was cancelled"
        with pytest.raises(TimeoutError):
            await _within(deadlines, 600)


async def test_each_has_its_own_limit() -> None:
    deadlines = Deadlines(LATE, LATE)
    async with asyncio.timeout(60):
        ended = await asyncio.gather(
            *(_within(deadlines, seconds) for seconds in (600, 0, 600, 0)), return_exceptions=True
        )
    assert [type(each) for each in ended] == [TimeoutError, str, TimeoutError, str]


async def test_a_cancellation_is_no_lateness() -> None:
    deadlines = Deadlines(600)
    task = asyncio.create_task(_within(deadlines, 600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_nothing_is_kept_of_what_has_ended() -> None:
    deadlines = Deadlines(600, LATE)
    assert [await _within(deadlines, 0) for _ in range(3)] == ["done"] * 3
    async with asyncio.timeout(60):
        while deadlines.watching:
            await asyncio.sleep(LATE)


async def test_request_timeout(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def route(_: web.BaseRequest, __: RequestInfo, ___: User) -> web.StreamResponse:
        await asyncio.sleep(600)
        return web.Response()

    async with (
        asyncio.timeout(60),
        fronts.serving(contexts[0], route=route, limit=LATE) as port,
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}/version", ssl=contexts[1]) as response,
    ):
        assert response.status == 504
