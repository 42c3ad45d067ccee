"""Events of the group events.k8s.io that repeat: the second makes a series of the first, the others are only counted
until the series is refreshed or has ended (client-go tools/events/event_broadcaster.go). No I/O.

Equal are two events of the same type, reason and action about the same objects in the same state, whatever their notes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from apimachinery.kit.clock import Clock

Object = dict[str, Any]

FINISH_TIME = 360.0  # seconds without a repeat that end a series
REFRESH_TIME = 1800.0  # seconds between two writes of a series that goes on: its event must not expire meanwhile
REMEMBERED_MAX = 4096


@dataclass(slots=True)
class _Observed:
    event: Object
    at: float
    count: int = 1
    last: str = ""

    @property
    def whole(self) -> Object:
        """The event with its series, if it is one by now."""
        if self.count == 1:
            return self.event
        return {**self.event, "series": {"count": self.count, "lastObservedTime": self.last}}


class EventSeries:
    """Remembers the events of one source. Each method says what is to be written now: whole events, of which those
    with a `series` were there before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._observed: OrderedDict[Hashable, _Observed] = OrderedDict()  # what was repeated last comes last

    def observe(self, event: Object) -> list[Object]:
        """event: a new one of events.k8s.io/v1; it is kept, and must not be changed any more."""
        now, key = self._clock.monotonic(), _key(event)
        if (seen := self._observed.get(key)) is None:
            self._observed[key] = _Observed(event, now)
            crowded = len(self._observed) > REMEMBERED_MAX
            return [event, *self._forget_first()] if crowded else [event]
        seen.at, seen.count, seen.last = now, seen.count + 1, event["eventTime"]
        self._observed.move_to_end(key)
        return [seen.whole] if seen.count == 2 else []

    def finish(self) -> list[Object]:
        """Forget what did not repeat for `FINISH_TIME`: series are written once more, with their last count."""
        ended: list[Object] = []
        until = self._clock.monotonic() - FINISH_TIME
        while self._observed and next(iter(self._observed.values())).at < until:
            ended += self._forget_first()
        return ended

    def refresh(self) -> list[Object]:
        """All series that go on."""
        return [seen.whole for seen in self._observed.values() if seen.count > 1]

    def _forget_first(self) -> list[Object]:
        _, seen = self._observed.popitem(last=False)
        return [seen.whole] if seen.count > 1 else []


def _key(event: Object) -> Hashable:
    regarding, related = (tuple(event.get(field, {}).items()) for field in ("regarding", "related"))
    return event["type"], event["action"], event["reason"], regarding, related
