"""Waiting for a store at start."""

from __future__ import annotations

import asyncio

import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tasks import Fatal
from apimachinery.meta import status
from controlplane.apiserver.bootstrap.patience import until_answered
from controlplane.apiserver.storage.interface import KeyExists, Unavailable


async def ask(*answers: object, seconds: int) -> object:
    clock, left = ManualClock(), list(answers)

    async def attempt() -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    asking = asyncio.ensure_future(until_answered("opening", attempt, clock, deadline=10))
    for _ in range(seconds):
        await clock.advance(1)
    return await asking


async def test_it_asks_until_there_is_an_answer() -> None:
    passing = (status.service_unavailable("x"), status.timeout("y"), status.internal("got unexpected nil transformer"))
    assert await ask(Unavailable("refused"), *passing, 5, seconds=5) == 5


async def test_it_ends_with_a_sentence() -> None:
    with pytest.raises(Fatal, match=r"opening: the store has not answered within 10 s: refused"):
        await ask(Unavailable("refused"), seconds=12)


@pytest.mark.parametrize("error", [KeyExists("k"), status.bad_request("no"), OSError("disk")])
async def test_what_is_no_silence_is_told_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        await ask(error, seconds=0)
