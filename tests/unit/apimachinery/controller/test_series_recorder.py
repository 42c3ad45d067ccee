"""Events of events.k8s.io on their way to a small real server on loopback."""

from __future__ import annotations

import socket

from apimachinery.client.rehearsal import rehearsing
from apimachinery.client.rest import Client
from apimachinery.controller.event_outbox import RETRY_PERIOD
from apimachinery.controller.event_series import FINISH_TIME, REFRESH_TIME
from apimachinery.controller.series_recorder import SeriesRecorder
from apimachinery.kit.clock import ManualClock, SystemClock
from tests.unit.apimachinery.controller.event_server import POD, telling

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "n"}}


def recording(client: Client) -> SeriesRecorder:
    return SeriesRecorder(client, "test", SystemClock())


async def test_an_event_says_what_was_done_to_what_and_leaves_the_old_fields_out() -> None:
    async with telling(recording) as (recorder, server):
        recorder.event(POD, "Normal", "Preempted", "Preempting", "Preempted by pod v", related=NODE)
        await server.until(1)
        ((name, event),) = server.held.items()
    assert name.startswith("p.") and int(name.removeprefix("p."), 16) > 1e18
    assert event["metadata"] == {"name": name, "namespace": "default"}
    time = event.pop("eventTime")
    assert len(time) == len("2025-01-02T03:04:05.000000Z")
    assert {key: value for key, value in event.items() if key != "metadata"} == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "reportingController": "test",
        "reportingInstance": f"test-{socket.gethostname()}",
        "type": "Normal",
        "reason": "Preempted",
        "action": "Preempting",
        "note": "Preempted by pod v",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "default",
            "name": "p",
            "uid": "u",
        },
        "related": {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n"},
    }


async def test_what_lies_in_no_namespace_is_told_of_in_the_default_one() -> None:
    async with telling(recording) as (recorder, server):
        recorder.event(NODE, "Normal", "Starting", "StartKubeProxy", "")
        await server.until(1)
        (event,) = server.held.values()
    assert event["metadata"]["namespace"] == "default" and "namespace" not in event["regarding"]


async def test_the_first_repeat_is_a_patch_of_the_series() -> None:
    async with telling(recording) as (recorder, server):
        for note in ("it did not work", "nor did it now"):
            recorder.event(POD, "Warning", "Failed", "Trying", note)
        await server.until(2)
        (event,) = server.held.values()
    assert (event["note"], event["series"]["count"]) == ("it did not work", 2)


async def test_the_count_is_written_while_the_series_goes_on_and_at_its_end_even_if_the_event_has_expired() -> None:
    clock = ManualClock()
    async with telling(lambda client: SeriesRecorder(client, "test", clock)) as (recorder, server):

        def repeat() -> None:
            recorder.event(POD, "Warning", "Failed", "Trying", "it did not work")

        repeat()
        for _ in range(int(REFRESH_TIME / RETRY_PERIOD)):
            repeat()
            await clock.advance(RETRY_PERIOD)
        await server.until(3)  # the creation, the first repeat, the refresh
        (event,) = server.held.values()
        assert event["series"]["count"] == REFRESH_TIME / RETRY_PERIOD + 1
        repeat()
        server.held.clear()
        await clock.advance(2 * FINISH_TIME)
        await server.until(5)  # the patch that finds nothing, and the creation of the whole
        (event,) = server.held.values()
        assert event["series"]["count"] == REFRESH_TIME / RETRY_PERIOD + 2 and event["note"] == "it did not work"


async def test_a_rehearsed_event_is_not_sent() -> None:
    async with telling(recording) as (recorder, server):
        with rehearsing() as tried:
            recorder.event(POD, "Normal", "Scheduled", "Binding", "to n")
        assert tried.events == [("Normal", "Scheduled", "to n")]
        recorder.event(POD, "Normal", "Other", "Binding", "")
        await server.until(1)
        assert [event["reason"] for event in server.held.values()] == ["Other"]
