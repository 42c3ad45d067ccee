import asyncio

from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tasks import cancel_and_wait


async def test_a_key_that_fails_comes_back_and_disturbs_no_other() -> None:
    clock, calls = ManualClock(), []

    async def reconcile(key: str) -> None:
        calls.append(key)
        if calls.count("bad") < 3 and key == "bad":
            raise RuntimeError("a defect")
        if key == "away" and calls.count("away") < 2:
            raise ApiUnreachable("no answer")

    queue = WorkQueue(clock, base=1, cap=10)
    running = asyncio.ensure_future(Controller("test", reconcile, queue).run())
    for key in ("bad", "away", "good"):
        queue.add(key)
    await clock.advance(60)
    assert sorted(calls) == ["away", "away", "bad", "bad", "bad", "good"]
    assert queue.failures("bad") == 0
    await cancel_and_wait(running)


async def test_a_number_asks_to_come_back() -> None:
    clock, times = ManualClock(), []

    async def reconcile(key: str) -> float:
        times.append(clock.monotonic())
        return 30

    queue = WorkQueue(clock)
    running = asyncio.ensure_future(Controller("test", reconcile, queue).run())
    queue.add("a")
    await clock.advance(65)
    assert times == [0, 30, 60]
    await cancel_and_wait(running)


async def test_one_key_is_never_worked_on_twice_at_once() -> None:
    clock, inside, most = ManualClock(), 0, 0

    async def reconcile(key: str) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        queue.add(key)
        await clock.sleep(1)
        inside -= 1

    queue = WorkQueue(clock)
    running = asyncio.ensure_future(Controller("test", reconcile, queue, workers=4).run())
    queue.add("a")
    await clock.advance(10)
    assert most == 1
    await cancel_and_wait(running)


async def test_a_paused_controller_takes_nothing_and_steps_one_by_one() -> None:
    clock, calls = ManualClock(), []

    async def reconcile(key: str) -> None:
        calls.append(key)

    queue = WorkQueue(clock)
    controller = Controller("test", reconcile, queue, workers=2)
    controller.pause()
    running = asyncio.ensure_future(controller.run())
    for key in "abc":
        queue.add(key)
    await clock.advance(1)
    assert calls == []
    stepped = await controller.step()
    assert stepped is not None and stepped.key == "a"
    assert calls == ["a"]
    controller.resume()
    await clock.advance(1)
    assert calls == ["a", "b", "c"]
    await cancel_and_wait(running)


async def test_a_worker_already_waiting_when_the_gate_closes_takes_nothing() -> None:
    clock, calls = ManualClock(), []

    async def reconcile(key: str) -> None:
        calls.append(key)

    queue = WorkQueue(clock)
    controller = Controller("test", reconcile, queue)
    running = asyncio.ensure_future(controller.run())
    await clock.advance(1)
    controller.pause()
    queue.add("a")
    await clock.advance(1)
    assert calls == []
    controller.resume()
    await clock.advance(1)
    assert calls == ["a"]
    await cancel_and_wait(running)
