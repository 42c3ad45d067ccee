import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tasks import cancel_and_wait

KEYS = st.sampled_from("abc")


async def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = WorkQueue(ManualClock())
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_key_added_while_worked_on_comes_back_after_done_only() -> None:
    queue = WorkQueue(ManualClock())
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_waiters_are_served_in_order() -> None:
    queue, got = WorkQueue(ManualClock()), []

    async def worker() -> None:
        got.append(await queue.get())

    async with asyncio.TaskGroup() as group:
        group.create_task(worker())
        group.create_task(worker())
        await asyncio.sleep(0)
        queue.add("a")
        queue.add("b")
    assert got == ["a", "b"]


async def test_rate_limited_keys_come_back_ever_later_until_forgotten() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock, base=1, cap=100)
    running = asyncio.ensure_future(queue.run())

    async def wait_for_key() -> float:
        started = clock.monotonic()
        getting = asyncio.ensure_future(queue.get())
        while not getting.done():
            await clock.advance(1)
        queue.done(getting.result())
        return clock.monotonic() - started

    waits = []
    for _ in range(4):
        queue.add_rate_limited("a")
        waits.append(await wait_for_key())
    assert waits == [1, 2, 4, 8]
    assert queue.failures("a") == 4
    queue.forget("a")
    queue.add_rate_limited("a")
    assert await wait_for_key() == 1
    await cancel_and_wait(running)


async def test_a_sooner_key_overtakes_a_later_one() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock)
    running = asyncio.ensure_future(queue.run())
    queue.add_after("late", 10)
    await clock.advance(1)
    queue.add_after("soon", 1)
    await clock.advance(1)
    assert queue.waiting() == ["soon"]
    await clock.advance(8)
    assert queue.waiting() == ["soon", "late"]
    await cancel_and_wait(running)


async def test_of_several_delays_of_a_key_the_earliest_holds() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock)
    running = asyncio.create_task(queue.run())
    for seconds in (10, 5, 20):
        queue.add_after("key", seconds)
    await clock.advance(5)
    assert await queue.get() == "key"
    queue.done("key")
    await clock.advance(20)
    assert queue.waiting() == []
    queue.add_after("key", 1)
    await clock.advance(1)
    assert queue.waiting() == ["key"]
    await cancel_and_wait(running)


@pytest.mark.parametrize("turns", range(12))
async def test_run_can_be_cancelled_at_any_moment(turns: int) -> None:
    """Also in the turn in which a delayed key wakes it."""
    queue = WorkQueue(ManualClock())
    queue.add_after("later", 9)
    running = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queue.add_after("sooner", 5)
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=1)
    assert done


class Turns(RuleBasedStateMachine):
    """A queue that is held, stepped through and released: no key is lost, or worked on twice at once."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue(ManualClock())
        self.owed: set[str] = set()  # added, and not taken since
        self.working: set[str] = set()

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.owed.add(key)

    @rule(key=st.one_of(st.just(""), KEYS))
    def take(self, key: str) -> None:
        taken = self.queue.take(key)
        if taken is None:
            ready = self.owed - self.working
            assert key not in ready if key else not ready
            return
        assert taken in self.owed
        assert taken not in self.working
        self.owed.discard(taken)
        self.working.add(taken)

    @rule(key=KEYS)
    def done(self, key: str) -> None:
        if key in self.working:
            self.queue.done(key)
            self.working.discard(key)

    @rule(hold=st.booleans())
    def hold(self, hold: bool) -> None:
        (self.queue.hold if hold else self.queue.release)()
        assert self.queue.held is hold

    @invariant()
    def everything_is_somewhere(self) -> None:
        assert set(self.queue.waiting()) == self.owed - self.working
        assert len(self.queue) == len(self.queue.waiting())
        assert set(self.queue.working()) == self.working


TestTurns = Turns.TestCase
