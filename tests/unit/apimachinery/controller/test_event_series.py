"""When an event of events.k8s.io is written: the first, its first repeat, while it goes on, at its end."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.controller.event_series import FINISH_TIME, REMEMBERED_MAX, EventSeries
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import times

Object = dict[str, Any]


class Source:
    """What one source says of pods. written: (name, count) of what is due, in order; count 1 is no series yet."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.series = EventSeries(self.clock)
        self.written: list[tuple[str, int]] = []
        self.last: Object = {}
        self._number = 0

    def say(self, about: str = "web", *, uid: str = "u", revision: str = "7", **fields: Any) -> None:
        self._number += 1
        event = {
            "metadata": {"name": f"{about}.{self._number}", "namespace": "default"},
            "eventTime": times.rfc3339_micro(self.clock.now()),
            "type": "Warning",
            "reason": "FailedScheduling",
            "action": "Scheduling",
            "note": "0/1 nodes are available.",
            "regarding": {"kind": "Pod", "name": about, "uid": uid, "resourceVersion": revision},
        }
        self.due(self.series.observe({**event, **fields}))

    def due(self, events: list[Object]) -> None:
        for self.last in events:
            self.written.append((self.last["metadata"]["name"], self.last.get("series", {}).get("count", 1)))


async def test_the_first_repeat_makes_a_series_and_the_others_are_counted() -> None:
    source = Source()
    source.say()
    await source.clock.advance(5)
    for _ in range(4):
        source.say()
    assert source.written == [("web.1", 1), ("web.1", 2)]
    # The event is the first one still: only its series is new.
    assert (source.last["eventTime"], source.last["series"]["lastObservedTime"]) == (
        "2025-01-01T00:00:00.000000Z",
        "2025-01-01T00:00:05.000000Z",
    )


@pytest.mark.parametrize(
    "other",
    [
        {"about": "db"},
        {"uid": "another pod of that name"},
        {"revision": "8"},
        {"reason": "Scheduled"},
        {"action": "Binding"},
        {"type": "Normal"},
        {"related": {"kind": "Pod", "name": "other"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_is_another_event(other: dict[str, Any]) -> None:
    source = Source()
    source.say()
    source.say(**other)
    assert [count for _, count in source.written] == [1, 1]


def test_the_same_in_other_words_is_a_repeat() -> None:
    source = Source()
    source.say()
    source.say(note="0/2 nodes are available.")
    assert source.written == [("web.1", 1), ("web.1", 2)] and source.last["note"] == "0/1 nodes are available."


async def test_a_series_that_goes_on_is_refreshed_with_its_count() -> None:
    source = Source()
    source.say("single")
    for _ in range(3):
        source.say()
    source.due(source.series.refresh())
    assert source.written[-1] == ("web.2", 3)
    source.say()
    source.due(source.series.refresh())
    assert source.written[-2:] == [("web.2", 3), ("web.2", 4)]


async def test_a_series_that_has_ended_is_written_once_more_and_begins_anew() -> None:
    source = Source()
    source.say("single")
    for _ in range(3):
        source.say()
    await source.clock.advance(FINISH_TIME)
    source.due(source.series.finish())
    assert source.written[-1] == ("web.2", 2), "not silent for longer than that"
    source.say("other")
    await source.clock.advance(1)
    source.due(source.series.finish())
    assert source.written[-2:] == [("other.5", 1), ("web.2", 3)], "the single one has nothing to add"
    for about in ("web", "single", "other"):
        source.say(about)
    assert source.written[-3:] == [("web.6", 1), ("single.7", 1), ("other.5", 2)]


def test_it_remembers_so_many_and_writes_what_it_forgets() -> None:
    source = Source()
    for _ in range(3):
        source.say("series")
    for number in range(REMEMBERED_MAX):
        source.say(str(number))
    assert source.written[-1] == ("series.1", 3)
    source.say("0")
    source.say("series")
    assert [count for _, count in source.written[-2:]] == [2, 1]
