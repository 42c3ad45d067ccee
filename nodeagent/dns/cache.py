"""`cache`: answers of others for as long as they say, asked for anew before that, given past it, where wanted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter, Gauge
from nodeagent.dns.message import CD, NOERROR, NXDOMAIN, SERVFAIL, SOA, Answer, Name, Query, Record
from nodeagent.dns.settings import Cache, Keep, covers

SUCCESS, DENIAL = "success", "denial"
_LABELS = ["server", "zones", "view"]
_OF_TYPE = ["server", "type", "zones", "view"]
_REQUESTS = Counter("coredns_cache_requests_total", "The count of cache requests.", _LABELS)
_MISSES = Counter("coredns_cache_misses_total", "The count of cache misses. Deprecated, derive misses from cache hits/requests counters.", _LABELS)  # noqa: E501  # fmt: skip
_HITS = Counter("coredns_cache_hits_total", "The count of cache hits.", _OF_TYPE)
_PREFETCHES = Counter("coredns_cache_prefetch_total", "The number of times the cache has prefetched a cached item.", _LABELS)  # noqa: E501  # fmt: skip
_STALE = Counter("coredns_cache_served_stale_total", "The number of requests served from stale cache entries.", _LABELS)
_EVICTIONS = Counter("coredns_cache_evictions_total", "The count of cache evictions.", _OF_TYPE)
_ENTRIES = Gauge("coredns_cache_entries", "The number of elements in the cache.", _OF_TYPE)

Key = tuple[Name, int, bool, bool]


@dataclass(slots=True)
class Kept:
    """An answer since `since` (monotonic seconds), good for `life`. asked: how often, without a gap too long."""

    answer: Answer
    kind: str
    since: float
    life: float
    asked: int = 0
    asked_at: float = 0.0
    refreshing: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """age: seconds by which its records' lives are shorter. fresh_for: seconds for which exactly this is the answer.

    refresh: ask anew, after it was given. stale: past its life.
    """

    answer: Answer
    age: int
    fresh_for: float
    refresh: bool = False
    stale: bool = False


class AnswerCache:
    """The cache of one server block. server: as metrics name it."""

    def __init__(self, settings: Cache, clock: Clock, server: str = "dns://:53") -> None:
        self._settings, self._clock = settings, clock
        self._kept: dict[str, OrderedDict[Key, Kept]] = {SUCCESS: OrderedDict(), DENIAL: OrderedDict()}
        zones = ",".join(".".join(zone) + "." for zone in settings.zones)
        labels = (server, zones, "")
        self._requests, self._misses = _REQUESTS.labels(*labels), _MISSES.labels(*labels)
        self._prefetches, self._stale = _PREFETCHES.labels(*labels), _STALE.labels(*labels)
        typed = {kind: (server, kind, zones, "") for kind in self._kept}
        self._hits = {kind: _HITS.labels(*each) for kind, each in typed.items()}
        self._evictions = {kind: _EVICTIONS.labels(*each) for kind, each in typed.items()}
        self._entries = {kind: _ENTRIES.labels(*each) for kind, each in typed.items()}

    def covers(self, name: Name) -> bool:
        return covers(self._settings.zones, name)

    def get(self, query: Query) -> Hit | None:
        """The answer, as if it came now; one past its life only where the Corefile wants that."""
        self._requests.inc()
        hit = self._look(query, stale=not self._settings.verify)
        if hit is None:
            self._misses.inc()
        return hit

    def fallback(self, query: Query) -> Hit | None:
        """For `serve_stale verify`: the answer past its life, as asking anew failed."""
        return self._look(query, stale=True) if self._settings.verify else None

    def count_hits(self, kind: str, number: int) -> None:
        """Answers given again without `get`, as they were the same octets."""
        self._requests.inc(number)
        self._hits[kind].inc(number)

    def kind(self, answer: Answer) -> str:
        return DENIAL if answer.rcode != NOERROR or not answer.records else SUCCESS

    def _look(self, query: Query, *, stale: bool) -> Hit | None:
        key, now = _key(query), self._clock.monotonic()
        for kind, table in self._kept.items():
            kept = table.get(key)
            if kept is None:
                continue
            age = now - kept.since
            over = age - kept.life
            if over >= self._settings.stale and over >= 0:
                del table[key]
                self._entries[kind].set(len(table))
                continue
            if over >= 0 and not stale:
                continue
            table.move_to_end(key)
            self._hits[kind].inc()
            if over >= 0:
                self._stale.inc()
                refresh = not kept.refreshing and not self._settings.verify
                kept.refreshing = kept.refreshing or refresh
                return Hit(_with_ttl(kept.answer, 0), 0, 0.0, refresh, stale=True)
            refresh = self._prefetch(kept, age, now)
            given = 0 if self._settings.keep_ttl else int(age)
            fresh_for = min(int(age) + 1 - age, kept.life - age)
            # Who counts how often it was asked for must see every question.
            return Hit(kept.answer, given, 0.0 if self._settings.prefetch else fresh_for, refresh)
        return None

    def _prefetch(self, kept: Kept, age: float, now: float) -> bool:
        wanted = self._settings.prefetch
        if wanted is None:
            return False
        kept.asked = kept.asked + 1 if now - kept.asked_at < wanted.gap else 1
        kept.asked_at = now
        left = kept.life - age
        if kept.refreshing or kept.asked < wanted.amount or left > max(1.0, kept.life * wanted.percent / 100):
            return False
        kept.refreshing = True
        self._prefetches.inc()
        return True

    def refreshed(self, query: Query) -> None:
        """What was asked anew has ended, one way or the other."""
        for table in self._kept.values():
            if kept := table.get(_key(query)):
                kept.refreshing = False

    def put(self, query: Query, answer: Answer) -> Answer:
        """Keep an answer if it may be kept: success, a denial with its SOA, a failure for short.

        Returns it with its records' lives as they are kept: the first who asks is told no longer one than the others.
        """
        settings = self._settings
        kind, keep, life = self._fate(answer)
        if life <= 0:
            return answer
        bounded = _with_ttl(answer, life)
        if covers(settings.no_success if kind == SUCCESS else settings.no_denial, query.name):
            return bounded
        if answer.rcode == SERVFAIL and self._settings.stale and self._look(query, stale=True) is not None:
            return bounded  # an older answer is better than none
        key = _key(query)
        for other, table in self._kept.items():
            if table.pop(key, None) is not None and other != kind:
                self._entries[other].set(len(table))
        table = self._kept[kind]
        table[key] = Kept(bounded, kind, self._clock.monotonic(), life)
        if len(table) > keep.capacity:
            table.popitem(last=False)
            self._evictions[kind].inc()
        self._entries[kind].set(len(table))
        return bounded

    def _fate(self, answer: Answer) -> tuple[str, Keep, int]:
        """What kind of answer it is, and for how many seconds it is kept: 0 for what is not."""
        settings = self._settings
        if answer.rcode == SERVFAIL:
            return DENIAL, settings.denial, settings.servfail
        if answer.rcode == NOERROR and answer.records:
            return SUCCESS, settings.success, _life(answer, settings.success)
        if answer.rcode in (NOERROR, NXDOMAIN) and any(record.type == SOA for record in answer.authority):
            return DENIAL, settings.denial, _life(answer, settings.denial)
        return DENIAL, settings.denial, 0


def _key(query: Query) -> Key:
    return query.name, query.type, query.do, bool(query.flags & CD)


def _life(answer: Answer, keep: Keep) -> int:
    """Seconds: the shortest of its records, for a denial also what the SOA says last (RFC 2308 section 5)."""
    lives = [record.ttl for section in (answer.records, answer.authority, answer.additional) for record in section]
    lives += [
        int.from_bytes(record.data[-4:], "big")
        for record in answer.authority
        if record.type == SOA and isinstance(record.data, bytes) and not answer.records
    ]
    return min(max(min(lives, default=0), keep.least), max(keep.most, keep.least))


def _with_ttl(answer: Answer, ttl: int) -> Answer:
    """The answer with records that all live for `ttl` seconds, as CoreDNS's cache gives them."""

    def lives(records: tuple[Record, ...]) -> tuple[Record, ...]:
        return tuple(replace(one, ttl=ttl) for one in records)

    return replace(
        answer,
        records=lives(answer.records),
        authority=lives(answer.authority),
        additional=lives(answer.additional),
        authoritative=False,
    )
