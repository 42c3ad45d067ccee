"""Turns at the runtime: so many at a time, the urgent first, nobody for ever."""

from __future__ import annotations

import asyncio

import pytest

from nodeagent.kubelet.runtime.paced import Turns


class _Visits:
    def __init__(self, turns: Turns) -> None:
        self.turns, self.inside, self.most, self.order = turns, 0, 0, []
        self.leave = asyncio.Event()

    async def visit(self, name: str, *, first: bool = False) -> None:
        async with self.turns.take(first=first):
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(name)
            await self.leave.wait()
            self.inside -= 1


async def _started(*visits: asyncio.Task[None]) -> None:
    for _ in range(3 * len(visits)):
        await asyncio.sleep(0)


async def test_so_many_at_a_time_and_the_urgent_before_the_others() -> None:
    visits = _Visits(Turns(2))
    tasks = [asyncio.create_task(visits.visit(name)) for name in "abcd"]
    await _started(*tasks)
    tasks.append(asyncio.create_task(visits.visit("urgent", first=True)))
    await _started(*tasks)
    assert visits.order == ["a", "b"]
    visits.leave.set()
    await asyncio.gather(*tasks)
    assert visits.most == 2 and visits.order == ["a", "b", "urgent", "c", "d"]


async def test_who_gives_up_takes_no_turn_with_him() -> None:
    visits = _Visits(Turns(1))
    tasks = [asyncio.create_task(visits.visit(name)) for name in "abc"]
    await _started(*tasks)
    tasks[1].cancel()
    await _started(*tasks)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await _started(*tasks)
    assert visits.order == ["a", "c"]
    visits.leave.set()
    await tasks[2]
    async with asyncio.timeout(1), visits.turns.take():
        pass


async def test_nobody_waits_longer_than_the_patience() -> None:
    visits = _Visits(Turns(1, patience=0.05))
    tasks = [asyncio.create_task(visits.visit(name)) for name in "ab"]
    async with asyncio.timeout(5):
        while len(visits.order) < 2:
            await asyncio.sleep(0.01)
    assert visits.inside == 2, "the first is stuck, the second goes anyway"
    visits.leave.set()
    await asyncio.gather(*tasks)
    again = [asyncio.create_task(visits.visit(name)) for name in "cd"]
    await asyncio.gather(*again)
    assert visits.order == ["a", "b", "c", "d"]
