"""Buckets of tokens."""

from __future__ import annotations

import asyncio

from apimachinery.kit.bucket import TokenBucket
from apimachinery.kit.clock import ManualClock


async def test_a_burst_and_then_so_many_a_second() -> None:
    clock = ManualClock()
    bucket = TokenBucket(2, 3, clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    await clock.advance(0.5)
    assert [bucket.take() for _ in range(2)] == [True, False]
    await clock.advance(100)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


async def test_who_waits_has_a_turn() -> None:
    clock = ManualClock()
    bucket, done = TokenBucket(2, 1, clock), list[float]()

    async def one() -> None:
        await bucket.wait()
        done.append(clock.monotonic())

    tasks = [asyncio.create_task(one()) for _ in range(4)]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert done == [0, 0.5, 1, 1.5]
