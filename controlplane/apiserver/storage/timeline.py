"""Which revision was the newest at what time: what "the cluster as it was at 14:03" and compaction by age need.

A store numbers its writes and keeps no times. So a sample is taken at every whole second in which something was
written, by every API server for itself; once a minute one of them leaves its samples (one a minute of them) in the
store, for those who start later. The answer is exact for whole seconds of the time this process has been running, and
falls back by up to a minute for the time before.
"""

import bisect
import logging

import orjson
from msgspec import Struct, field

from apimachinery.kit.clock import Clock

from .interface import KeyExists, KeyMissing, Revision, RevisionMismatch, Storage, StorageError

log = logging.getLogger(__name__)

# Beside upstream's compact_rev_key, outside of /registry.
KEY = "kubelab_revision_times"
_SAMPLE = 1.0
_LATE = 0.1
_LEFT_EVERY = 60


class Timeline(Struct):
    """Samples (seconds of the epoch, newest revision by then), both ascending; older than `keep` seconds forgotten."""

    keep: float
    _times: list[float] = field(default_factory=list)
    _revisions: list[Revision] = field(default_factory=list)

    def note(self, now: float, revision: Revision) -> None:
        """At `now` the newest revision was `revision`. A clock that was set back adds nothing until it catches up."""
        if self._times and (revision <= self._revisions[-1] or now <= self._times[-1]):
            return
        self._times.append(now)
        self._revisions.append(revision)
        # One sample older than `keep` stays: it says what was the newest when `keep` began.
        begin = bisect.bisect_right(self._times, now - self.keep) - 1
        if begin > 64:
            del self._times[:begin], self._revisions[:begin]

    def at(self, when: float) -> Revision | None:
        """The newest revision at that time; None before the first sample."""
        found = bisect.bisect_right(self._times, when) - 1
        return self._revisions[found] if found >= 0 else None

    def time_of(self, revision: Revision) -> float | None:
        """When `revision` was first known; None for one older than the first sample, or newer than the last."""
        found = bisect.bisect_left(self._revisions, revision)
        if found == len(self._revisions) or (found == 0 and self._revisions[0] != revision):
            return None
        return self._times[found]

    def merge(self, samples: list[tuple[float, Revision]]) -> None:
        """Adds samples from before the first one."""
        first = self._times[0] if self._times else float("inf")
        bound = self._revisions[0] if self._revisions else float("inf")
        older = sorted((time, revision) for time, revision in samples if time < first and revision <= bound)
        self._times[:0] = [time for time, _ in older]
        self._revisions[:0] = [revision for _, revision in older]

    def thinned(self, period: float) -> list[tuple[float, Revision]]:
        """The last sample of every `period` seconds."""
        kept: dict[int, tuple[float, Revision]] = {}
        for time, revision in zip(self._times, self._revisions, strict=True):
            kept[int(time // period)] = (time, revision)
        return list(kept.values())


class TimeKeeper:
    """Keeps a timeline of a store for as long as it runs."""

    def __init__(self, storage: Storage, clock: Clock, timeline: Timeline) -> None:
        self._storage, self._clock, self._timeline = storage, clock, timeline
        self._left: Revision = 0

    async def run(self) -> None:
        """Until cancelled. A store that does not answer costs the samples of the time before this process only."""
        await self._load()
        seconds = 0
        while True:
            now = self._clock.now().timestamp()
            # Woken at a whole second, if a little late.
            late = now % _SAMPLE
            self._timeline.note(now - late if late < _LATE else now, self._storage.seen_revision)
            if seconds % _LEFT_EVERY == 0:
                await self._leave()
            seconds += 1
            await self._clock.sleep(_SAMPLE - self._clock.now().timestamp() % _SAMPLE)

    async def _load(self) -> None:
        try:
            found = await self._storage.get(KEY)
            if found is not None:
                self._timeline.merge([(float(time), int(revision)) for time, revision in orjson.loads(found.value)])
        except (StorageError, ValueError, TypeError) as error:
            log.warning("times of earlier revisions are not known: %s", error)

    async def _leave(self) -> None:
        """Leaves the samples for others, unless nothing but that has been written since."""
        if self._storage.seen_revision <= self._left:
            return
        value = orjson.dumps(self._timeline.thinned(_LEFT_EVERY))
        try:
            found = await self._storage.get(KEY)
            if found is None:
                self._left = await self._storage.create(KEY, value)
            else:
                self._left = await self._storage.update(KEY, value, found.mod_revision)
        except (KeyExists, KeyMissing, RevisionMismatch):
            pass  # Another server has just left its own, which are as good.
        except StorageError as error:
            log.warning("times of revisions not stored: %s", error)
