import asyncio

from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import REGISTRY
from apimachinery.kit.tasks import cancel_and_wait


def sample(metric: str, name: str) -> float | None:
    return REGISTRY.get_sample_value(f"workqueue_{metric}", {"name": name})


async def test_a_queue_tells_what_waits_what_is_worked_on_and_for_how_long() -> None:
    clock = ManualClock()
    queue = WorkQueue(clock)
    queue.observe("measured")
    assert [sample(each, "measured") for each in ("depth", "adds_total", "retries_total")] == [0, 0, 0]
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert [sample(each, "measured") for each in ("depth", "adds_total")] == [2, 2], "twice is once"

    await clock.advance(3)
    assert await queue.get() == "a"
    assert (sample("depth", "measured"), sample("queue_duration_seconds_sum", "measured")) == (1, 3)
    await clock.advance(2)
    assert await queue.get() == "b"
    await clock.advance(4)
    assert sample("unfinished_work_seconds", "measured") == 10
    assert sample("longest_running_processor_seconds", "measured") == 6
    queue.add("a")
    assert (sample("depth", "measured"), len(queue)) == (1, 0), "a key that comes back counts, as upstream"

    queue.done("a")
    queue.done("b")
    assert sample("work_duration_seconds_count", "measured") == 2
    assert sample("work_duration_seconds_sum", "measured") == 10
    assert sample("unfinished_work_seconds", "measured") == 0
    assert sample("longest_running_processor_seconds", "measured") == 0
    queue.add_rate_limited("b")
    queue.add_after("c", 5)
    assert sample("retries_total", "measured") == 2


async def test_controllers_show_their_queues_by_the_names_that_dashboards_know() -> None:
    clock = ManualClock()
    before = sample("adds_total", "endpoint_slice") or 0
    first, second = WorkQueue(clock), WorkQueue(clock)

    async def reconcile(_: str) -> None:
        pass

    running = asyncio.ensure_future(Controller("endpointslice-controller", reconcile, first).run())
    Controller("endpointslice-controller", reconcile, second)
    first.add("a")
    second.add("a")
    await clock.advance(1)
    assert sample("adds_total", "endpoint_slice") == before + 2
    assert sample("depth", "endpoint_slice") == 1, "only the first is worked on"
    await cancel_and_wait(running)
