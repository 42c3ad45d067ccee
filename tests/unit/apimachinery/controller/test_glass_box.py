import asyncio
import socket
import stat
from pathlib import Path

import pytest

from apimachinery.controller.glassbox import GlassBox
from apimachinery.controller.local_door import ask, serve
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.controller.stepping import ControllerLoop
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta.status import ApiError


def test_a_held_queue_gives_its_keys_one_by_one_in_their_order() -> None:
    queue = WorkQueue(ManualClock())
    queue.hold()
    for key in ("a", "b", "c"):
        queue.add(key)
    assert queue.take() == "a"
    assert queue.waiting() == ["b", "c"]
    assert queue.take("c") == "c"
    assert queue.working() == ["a", "c"]
    assert queue.take("c") is None
    queue.add("a")
    assert queue.waiting() == ["b"]
    queue.done("a")
    assert queue.waiting() == ["b", "a"]


async def test_a_key_that_backs_off_is_listed_with_its_time_and_can_be_taken_before() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock, base=8, cap=100)
    running = asyncio.ensure_future(queue.run())
    queue.add_rate_limited("bad")
    queue.add_after("soon", 2)
    await clock.advance(1)
    assert [(each.key, each.after, each.failures) for each in queue.later()] == [("soon", 1.0, 0), ("bad", 7.0, 1)]
    assert queue.take() is None
    assert queue.take("bad") == "bad"
    queue.done("bad")
    await clock.advance(60)
    assert queue.waiting() == ["soon"]
    await cancel_and_wait(running)


async def test_a_paused_loop_lets_keys_gather_in_order_and_takes_a_turn_when_told() -> None:
    clock, calls = ManualClock(), []

    async def reconcile(key: str) -> float | None:
        calls.append(key)
        if key == "bad":
            raise RuntimeError("a defect")
        return 30.0 if key == "c" else None

    queue = WorkQueue(clock, base=1, cap=10)
    controller = Controller("test-controller", reconcile, queue, workers=3)
    running = asyncio.ensure_future(controller.run())
    await clock.advance(1)
    controller.pause()
    for key in ("c", "bad", "a", "b"):
        queue.add(key)
    await clock.advance(100)
    assert (calls, queue.waiting()) == ([], ["c", "bad", "a", "b"])

    first, second = await controller.step(), await controller.step()
    assert first is not None and (first.key, first.result, first.again) == ("c", "success", 30.0)
    assert second is not None and (second.result, second.error) == ("error", "RuntimeError: a defect")
    assert [(each.key, each.failures) for each in queue.later()] == [("bad", 1), ("c", 0)]

    controller.resume()
    await clock.advance(0.5)
    assert calls == ["c", "bad", "a", "b"]
    await cancel_and_wait(running)


async def test_the_box_lists_pauses_rehearses_and_steps() -> None:
    queue, calls = WorkQueue(ManualClock()), []

    async def reconcile(key: str) -> None:
        calls.append(key)

    async def rehearse(key: str) -> dict[str, object]:
        return {"writes": [], "seen": list(calls)}

    controller = Controller("web-controller", reconcile, queue)
    box = GlassBox(Trace("kube-controller-manager"))
    assert (await box.answer("GET", "loops", {}))["leading"] is False
    box.show([ControllerLoop(controller, rehearse, namespaced=True)])
    assert (await box.answer("POST", "loops/web-controller/pause", {}))["paused"] is True
    assert await box.answer("POST", "loops/web-controller/rehearse", {}) == {}
    queue.add("ns/a")
    told = await box.answer("POST", "loops/web-controller/rehearse", {})
    assert told == {"key": "ns/a", "writes": [], "seen": []}
    listed = await box.answer("GET", "loops", {})
    assert (listed["leading"], listed["loops"][0]["ready"]) == (True, ["ns/a"])
    assert (await box.answer("POST", "loops/web-controller/step", {}))["key"] == "ns/a"
    # A key that nobody queued has its turn as well.
    assert (await box.answer("POST", "loops/web-controller/step", {"key": "ns/b"}))["result"] == "success"
    assert calls == ["ns/a", "ns/b"]
    assert (await box.answer("POST", "loops/web-controller/resume", {}))["paused"] is False


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "loops/none", 404),
        ("GET", "loops/a/b/c", 404),
        ("GET", "", 404),
        ("POST", "loops", 405),
        ("POST", "trace", 405),
        ("GET", "loops/web-controller/step", 405),
        ("POST", "loops/web-controller/explode", 404),
    ],
)
async def test_the_box_refuses_what_it_does_not_know(method: str, path: str, code: int) -> None:
    async def reconcile(key: str) -> None:
        raise AssertionError("nobody asked for it")

    async def rehearse(key: str) -> dict[str, object]:
        raise AssertionError("nobody asked for it")

    queue = WorkQueue(ManualClock())
    queue.add("a")
    box = GlassBox(Trace("kube-controller-manager"))
    box.show([ControllerLoop(Controller("web-controller", reconcile, queue), rehearse, namespaced=True)])
    with pytest.raises(ApiError) as refused:
        await box.answer(method, path, {})
    assert refused.value.code == code


async def test_the_door_of_a_machine_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a path longer than a socket's may be, in place of what a killed process left there."""
    folder = tmp_path / ("a" * 100)
    folder.mkdir()
    door, stop = folder / "box.sock", asyncio.Event()
    with socket.socket(socket.AF_UNIX) as left:
        monkeypatch.chdir(folder)
        left.bind("box.sock")
    box = GlassBox(Trace("cloud-controller-manager"))
    with pytest.raises(OSError, match="Cannot connect"):
        await ask(door, "GET", "loops")
    serving = asyncio.create_task(serve(door, box.answer, stop))
    try:
        async with asyncio.timeout(60):
            while not door.is_socket() or (answer := await _asked(door)) is None:
                await asyncio.sleep(0)
        assert answer == {"component": "cloud-controller-manager", "leading": False, "loops": []}
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        with pytest.raises(ApiError, match='no loop "x"; there are: none'):
            await ask(door, "POST", "loops/x/step", {"key": "a/b"})
        stop.set()
        await serving
    finally:
        await cancel_and_wait(serving)
    assert not door.exists()


async def _asked(door: Path) -> dict[str, object] | None:
    try:
        return await ask(door, "GET", "loops")
    except OSError:  # what was left is still there
        return None
