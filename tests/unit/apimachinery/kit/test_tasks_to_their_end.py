"""What is not to be broken off half done."""

import asyncio

import pytest

from apimachinery.kit.tasks import to_its_end


async def test_cancelled_meanwhile_it_ends_and_then_is_the_waiter_cancelled() -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        await go_on.wait()
        ended.set()

    waiter = asyncio.create_task(to_its_end(call(), 60))
    await begun.wait()
    waiter.cancel()
    await asyncio.sleep(0)
    assert not waiter.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert ended.is_set()


async def test_what_does_not_end_is_broken_off() -> None:
    begun, broken_off = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()

    waiter = asyncio.create_task(to_its_end(call(), 0.01))
    await begun.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert broken_off.is_set()


async def test_what_it_returns_and_raises_is_passed_on() -> None:
    async def call(number: int) -> int:
        if number < 0:
            raise ValueError(number)
        return number

    assert await to_its_end(call(1), 60) == 1
    with pytest.raises(ValueError, match="-1"):
        await to_its_end(call(-1), 60)
