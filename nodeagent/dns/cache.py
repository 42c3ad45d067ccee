"""Answers of other servers, for as long as they say, least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from apimachinery.kit.clock import Clock
from nodeagent.dns import message
from nodeagent.dns.message import Name, Query, Raw

MAX_ENTRIES = 10_000
Key = tuple[Name, int, bool]


@dataclass(frozen=True, slots=True)
class _Kept:
    data: bytes
    records: tuple[Raw, ...]
    since: float
    until: float


class AnswerCache:
    """most: seconds an answer is kept at most; 0 keeps nothing. An answer that failed is never kept."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most, self._clock = most, clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def get(self, query: Query) -> bytes | None:
        """The answer, as if it came now, or None."""
        key = (query.name, query.type, query.edns)
        kept = self._kept.get(key)
        now = self._clock.monotonic()
        if kept is None:
            return None
        if now >= kept.until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return message.replay(kept.data, query, kept.records, int(now - kept.since))

    def put(self, query: Query, data: bytes) -> None:
        """Keep an answer if it may be kept: NOERROR or NXDOMAIN, whole, with at least one record to say how long."""
        if (
            not self._most
            or message.is_truncated(data)
            or message.rcode(data)
            not in (
                message.NOERROR,
                message.NXDOMAIN,
            )
        ):
            return
        try:
            records = tuple(message.parse_records(data))
        except message.BadMessage:
            return
        life = min((raw.ttl for raw in records), default=0)
        if life <= 0:
            return
        now = self._clock.monotonic()
        self._kept[(query.name, query.type, query.edns)] = _Kept(data, records, now, now + min(life, self._most))
        if len(self._kept) > MAX_ENTRIES:
            self._kept.popitem(last=False)
