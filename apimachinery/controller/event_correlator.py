"""What becomes of an event before it is sent: counted up, combined with similar ones, or left out (client-go
tools/record/events_cache.go). No I/O.

Similar events say the same of one object in other words ("Created pod: web-1", "Created pod: web-2").
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, TypeVar

from apimachinery.kit.clock import Clock

from .event_parts import EventNames

Object = dict[str, Any]

REMEMBERED_MAX = 4096
BURST, REFILL = 25, 1 / 300  # events about one object, then events a second
SIMILAR_MAX, SIMILAR_PERIOD = 10, 600.0  # different messages of one reason, and seconds without one that end the count
COMBINED = "(combined from similar events): "
_MESSAGE_MAX = 1024

_T = TypeVar("_T")


@dataclass(slots=True)
class _Similar:
    messages: set[int]
    at: float


@dataclass(slots=True)
class _Observed:
    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Tokens:
    left: float
    at: float


class EventCorrelator:
    """Remembers the events of one source."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._names = clock, EventNames()
        self._similar: OrderedDict[str, _Similar] = OrderedDict()
        self._observed: OrderedDict[str, _Observed] = OrderedDict()
        self._tokens: OrderedDict[str, _Tokens] = OrderedDict()

    def observe(self, event: Object) -> bool:
        """Give a v1 Event its name, count, firstTimestamp and message; False when it is one too many to be sent.

        A count above 1 means that an event of that name was there before. What is not sent is counted all the same.
        """
        involved = event["involvedObject"]
        about = [str(involved.get(field, "")) for field in ("apiVersion", "kind", "namespace", "name", "uid")]
        similar = _digest(*about, event["type"], event["reason"])
        if self._are_many(similar, event["message"]):
            key, event["message"] = similar, COMBINED + event["message"]
        else:
            key = _digest(*about, involved.get("fieldPath", ""), event["type"], event["reason"], event["message"])
        event["message"] = event["message"][:_MESSAGE_MAX]
        if (seen := self._observed.get(key)) is None:
            seen = _Observed(self._names.next(involved["name"], self._clock.now()), 0, event["firstTimestamp"])
        seen.count += 1
        _remember(self._observed, key, seen)
        event["metadata"]["name"] = seen.name
        event["count"], event["firstTimestamp"] = seen.count, seen.first
        return self._allowed(_digest(*about))

    def _are_many(self, key: str, message: str) -> bool:
        now, record = self._clock.monotonic(), self._similar.get(key)
        if record is None or now - record.at > SIMILAR_PERIOD:
            record = _Similar(set(), now)
        record.at = now
        record.messages.add(hash(message))
        _remember(self._similar, key, record)
        if len(record.messages) < SIMILAR_MAX:
            return False
        record.messages.pop()  # one below the limit again: the next that differs is combined, too
        return True

    def _allowed(self, about: str) -> bool:
        now = self._clock.monotonic()
        tokens = self._tokens.get(about) or _Tokens(BURST, now)
        _remember(self._tokens, about, tokens)
        tokens.left = min(BURST, tokens.left + (now - tokens.at) * REFILL)
        tokens.at = now
        if tokens.left < 1:
            return False
        tokens.left -= 1
        return True


def _remember(held: OrderedDict[str, _T], key: str, value: _T) -> None:
    held[key] = value
    held.move_to_end(key)
    if len(held) > REMEMBERED_MAX:
        held.popitem(last=False)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
