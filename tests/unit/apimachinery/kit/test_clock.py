import asyncio

from apimachinery.kit.clock import ManualClock


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock, woken = ManualClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for seconds in (3, 1, 2):
            group.create_task(sleeper(seconds))
        await clock.advance(2.5)
        assert woken == [(1, 1), (2, 2)]
        await clock.advance(0.5)
    assert woken == [(1, 1), (2, 2), (3, 3)]


async def test_a_jump_of_the_wall_clock_wakes_nobody() -> None:
    clock = ManualClock()
    before = clock.now()
    sleeping = asyncio.create_task(clock.sleep(10))
    await clock.advance(0)
    clock.jump(86400)
    await clock.advance(9)
    assert not sleeping.done()
    assert (clock.now() - before).total_seconds() == 86409
    await clock.advance(1)
    assert sleeping.done()
