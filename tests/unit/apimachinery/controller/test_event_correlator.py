"""The cases of client-go's tools/record/events_cache_test.go, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.controller.event_correlator import (
    BURST,
    COMBINED,
    REMEMBERED_MAX,
    SIMILAR_MAX,
    SIMILAR_PERIOD,
    EventCorrelator,
)
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import times


class Source:
    """What one source says of objects. sent: names and counts of what is left to send, with the messages."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._correlator = EventCorrelator(self.clock)
        self.sent: list[tuple[str, int, str]] = []

    def say(self, message: str, reason: str = "Created", about: str = "web", field_path: str = "") -> dict[str, Any]:
        now = times.rfc3339(self.clock.now())
        involved = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "namespace": "default", "name": about, "uid": about}
        if field_path:
            involved["fieldPath"] = field_path
        event = {
            "metadata": {"namespace": "default"},
            "involvedObject": involved,
            "type": "Normal",
            "reason": reason,
            "message": message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        if self._correlator.observe(event):
            self.sent.append((event["metadata"]["name"], event["count"], event["message"]))
        return event


async def test_equal_events_are_one_that_is_counted_up() -> None:
    source = Source()
    first = source.say("Created pod: a")
    await source.clock.advance(5)
    second = source.say("Created pod: a")
    assert [count for _, count, _ in source.sent] == [1, 2]
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert (second["firstTimestamp"], second["lastTimestamp"]) == ("2025-01-01T00:00:00Z", "2025-01-01T00:00:05Z")


@pytest.mark.parametrize("other", [{"reason": "Deleted"}, {"about": "db"}, {"field_path": "spec.containers{main}"}])
def test_events_of_another_reason_object_or_part_are_others(other: dict[str, str]) -> None:
    source = Source()
    source.say("the same words")
    source.say("the same words", **other)
    (one, _, _), (another, _, _) = source.sent
    assert one != another, "of one instant, but of two names"
    assert [count for _, count, _ in source.sent] == [1, 1]


def test_similar_events_are_combined_from_the_tenth_on() -> None:
    source = Source()
    for number in range(20):
        source.say(f"Created pod: {number}")
    alone, combined = source.sent[: SIMILAR_MAX - 1], source.sent[SIMILAR_MAX - 1 :]
    assert [(count, message) for _, count, message in alone] == [(1, f"Created pod: {n}") for n in range(9)]
    assert [count for _, count, _ in combined] == list(range(1, 12))
    assert {name for name, _, _ in combined} == {combined[0][0]}
    assert combined[-1][2] == f"{COMBINED}Created pod: 19"


def test_equal_events_are_not_combined() -> None:
    source = Source()
    for _ in range(20):
        source.say("Created pod: a")
    assert {message for _, _, message in source.sent} == {"Created pod: a"}


@pytest.mark.parametrize(("pause", "combined"), [(SIMILAR_PERIOD, True), (SIMILAR_PERIOD + 1, False)])
async def test_similarity_is_forgotten_after_ten_minutes_of_silence(pause: float, combined: bool) -> None:
    source = Source()
    for number in range(SIMILAR_MAX):
        source.say(f"Created pod: {number}")
    await source.clock.advance(pause)
    assert source.say("Created pod: next")["message"].startswith(COMBINED) is combined


async def test_one_object_has_so_many_events_and_then_one_in_five_minutes() -> None:
    source = Source()
    for number in range(2 * BURST):
        source.say(f"Created pod: {number}")
    assert len(source.sent) == BURST
    source.say("of another object", about="db")
    assert len(source.sent) == BURST + 1
    await source.clock.advance(300)
    source.say("Created pod: more")
    source.say("Created pod: too many")
    assert len(source.sent) == BURST + 2
    # What was not sent was counted, upstream's way: 50 and one, of which 9 stand alone.
    assert source.sent[-1][1:] == (2 * BURST + 1 - (SIMILAR_MAX - 1), f"{COMBINED}Created pod: more")


def test_it_remembers_so_much_and_no_more() -> None:
    source = Source()
    for number in range(REMEMBERED_MAX + 1):
        source.say("once", about=str(number))
    assert source.say("once", about=str(REMEMBERED_MAX))["count"] == 2
    assert source.say("once", about="0")["count"] == 1
