"""Many who ask, few passes; and nobody is answered by a pass that began before."""

import asyncio

import pytest

from nodeagent.policy.passes import Passes


class Work:
    """Each pass sees what was noted until it begins, and ends when it is let."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        self.seen: list[list[int]] = []
        self.let = asyncio.Event()
        self.began = asyncio.Event()
        self.failing = 0
        self.passes = Passes(self.run, asyncio.Lock())

    async def run(self) -> None:
        self.seen.append(list(self.noted))
        self.began.set()
        await self.let.wait()
        if self.failing:
            self.failing -= 1
            raise OSError("refused")

    async def ask(self, number: int) -> bool:
        """Whether the last pass saw what was noted."""
        self.noted.append(number)
        await self.passes.complete()
        return number in self.seen[-1]


async def test_thirty_who_ask_during_a_pass_share_the_next() -> None:
    work = Work()
    first = asyncio.ensure_future(work.ask(0))
    await work.began.wait()
    others = [asyncio.ensure_future(work.ask(number)) for number in range(1, 31)]
    await asyncio.sleep(0)
    work.let.set()
    assert await first
    assert all(await asyncio.gather(*others))
    assert [len(seen) for seen in work.seen] == [1, 31]


async def test_who_asks_later_has_a_pass_of_its_own() -> None:
    work = Work()
    work.let.set()
    assert [await work.ask(number) for number in range(3)] == [True] * 3
    assert [len(seen) for seen in work.seen] == [1, 2, 3]


async def test_a_refusal_is_told_to_one_and_the_next_tries_again() -> None:
    work = Work()
    work.failing = 2
    asked = [asyncio.ensure_future(work.ask(number)) for number in range(5)]
    await work.began.wait()
    work.let.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError, bool, bool, bool]
    assert len(work.seen) == 3


async def test_who_is_cancelled_leaves_the_pass_to_the_next() -> None:
    work = Work()
    one = asyncio.ensure_future(work.ask(1))
    await work.began.wait()
    two = asyncio.ensure_future(work.ask(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    work.let.set()
    assert await two
    assert len(work.seen) == 2
