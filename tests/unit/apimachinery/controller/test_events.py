"""Events on their way to a small real server on loopback."""

from __future__ import annotations

from apimachinery.client.rest import Client
from apimachinery.controller.event_outbox import QUEUE_MAX, RETRY_PERIOD, TRIES
from apimachinery.controller.events import EventRecorder
from apimachinery.kit.bucket import TokenBucket
from apimachinery.kit.clock import Clock, ManualClock, SystemClock
from tests.unit.apimachinery.controller.event_server import POD, telling


class Recording:
    """Makes a recorder of the core group's events."""

    def __init__(self, clock: Clock, queue_max: int = QUEUE_MAX, pace: TokenBucket | None = None) -> None:
        self._clock, self._queue_max, self._pace = clock, queue_max, pace

    def __call__(self, client: Client) -> EventRecorder:
        return EventRecorder(client, "test", clock=self._clock, queue_max=self._queue_max, pace=self._pace)


async def test_events_are_counted_up_combined_and_begun_again_when_they_have_expired() -> None:
    async with telling(Recording(SystemClock())) as (recorder, server):
        for number in range(12):
            recorder.event(POD, "Normal", "Created", f"pod {number}")
        await server.until(12)
        assert len(server.held) == 10
        (combined,) = [event for event in server.held.values() if event["count"] > 1]
        assert (combined["count"], combined["message"]) == (3, "(combined from similar events): pod 11")
        server.held.clear()
        recorder.event(POD, "Normal", "Created", "pod 12")
        await server.until(14)  # the patch that found nothing, and the creation
        (again,) = server.held.values()
        assert (again["metadata"]["name"], again["count"]) == (combined["metadata"]["name"], 4)


async def test_an_event_without_an_answer_is_sent_again_and_is_there_once() -> None:
    clock = ManualClock()
    async with telling(Recording(clock)) as (recorder, server):
        server.cut = 2
        for reason in ("First", "Second"):
            recorder.event(POD, "Normal", reason, "")
        while server.asked < 4:  # First three times, then Second
            await clock.advance(RETRY_PERIOD)
        assert [event["reason"] for event in server.held.values()] == ["First", "Second"]


async def test_an_event_is_given_up_after_so_many_tries_and_the_next_is_sent() -> None:
    clock = ManualClock()
    async with telling(Recording(clock)) as (recorder, server):
        server.cut = TRIES
        for reason in ("First", "Second"):
            recorder.event(POD, "Normal", reason, "")
        while server.asked <= TRIES:
            await clock.advance(RETRY_PERIOD)
        assert server.asked == TRIES + 1 and len(server.held) == 2


async def test_of_a_burst_so_many_wait_and_the_others_are_dropped() -> None:
    async with telling(Recording(SystemClock(), queue_max=3)) as (recorder, server):
        for number in range(5):
            recorder.event(POD, "Normal", f"Reason{number}", "")
        await server.until(3)
        recorder.event(POD, "Normal", "Last", "")
        await server.until(4)
        assert [event["reason"] for event in server.held.values()] == ["Reason0", "Reason1", "Reason2", "Last"]


async def test_events_have_a_pace() -> None:
    clock = ManualClock()
    async with telling(Recording(clock, pace=TokenBucket(1, 2, clock))) as (recorder, server):
        for number in range(4):
            recorder.event(POD, "Normal", f"Reason{number}", "")
        await server.until(2)
        await clock.advance(0.5)
        assert server.asked == 2
        for asked in (3, 4):
            await clock.advance(1)
            await server.until(asked)
        assert clock.monotonic() == 2.5


async def test_an_event_bears_its_annotations() -> None:
    async with telling(Recording(SystemClock())) as (recorder, server):
        recorder.event(POD, "Warning", "Evicted", "", annotations={"starved_resource": "memory"})
        recorder.event(POD, "Normal", "Created", "")
        await server.until(2)
        annotations = [event["metadata"].get("annotations") for event in server.held.values()]
        assert annotations == [{"starved_resource": "memory"}, None]
