"""The scheduling queue: pods to try now (active), soon (backoff), or once something changed (unschedulable).

A pod that no node could take waits until a change that one of the plugins which refused it calls helpful (queueing
hints, KEP-4247), or five minutes. One that was tried a moment ago waits out its backoff: 1 s, doubled to 10 s.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from apimachinery.kit.clock import Clock
from controlplane.scheduler import observed
from controlplane.scheduler.framework import Change, What
from controlplane.scheduler.pod_info import PodInfo

MAX_UNSCHEDULABLE = 300.0  # seconds after which a pod is tried again even if nothing seems to have changed
_FLUSH_PERIOD = 30.0

SCHEDULING_GATES = "SchedulingGates"

# Why pods come into a part of the queue, besides changes of the cluster: in upstream's words, for the metrics.
_ADDED, _UPDATED = "UnschedulablePodAdd", "UnschedulablePodUpdate"
_FAILED, _FORCED = "ScheduleAttemptFailure", "ForceActivate"
_BACKED_OFF, _TIMED_OUT = "BackoffComplete", "UnschedulableTimeout"

# (pod, names of the plugins that refused it, change) → whether to try again
Hint = Callable[[PodInfo, Iterable[str], Change], bool]


@dataclass(frozen=True, slots=True)
class Backoffs:
    """Seconds that a pod which was tried waits at least: doubled with each try (podInitialBackoffSeconds), to the
    highest (podMaxBackoffSeconds)."""

    initial: float = 1.0
    highest: float = 10.0

    def after(self, attempts: int) -> float:
        """Seconds after the so-manieth try."""
        return min(self.highest, self.initial * 2.0 ** min(attempts - 1, 16)) if attempts else 0.0


DEFAULT_BACKOFFS = Backoffs()


@dataclass(slots=True)
class QueuedPod:
    """A pod on its way through the queue. Times are monotonic seconds; added: also when it came back last, behind
    those that had come meanwhile; backoff: seconds from `tried`, when its last try ended; since: from when on it could
    be tried, None while it never could. changes: of itself, since it was taken out."""

    pod: PodInfo
    added: float
    attempts: int = 0
    tried: float = 0.0
    backoff: float = 0.0
    changes: list[Change] = field(default_factory=list)
    refused_by: frozenset[str] = field(default_factory=frozenset)
    since: float | None = None

    @property
    def gated(self) -> bool:
        """True while scheduling gates hold the pod back (KEP-3521)."""
        return bool(self.pod.gates)

    @property
    def backoff_until(self) -> float:
        """When the pod may be tried again."""
        return self.tried + self.backoff if self.attempts else 0.0


def _turn(queued: QueuedPod) -> tuple[int, float]:
    """The order of the active part, but for those added at the same time."""
    return (-queued.pod.priority, queued.added)


class SchedulingQueue:
    """Pods that have no node yet, each in exactly one part. Higher priority first, then first come.

    Those that were taken out are followed until they come back, as they are then, or are gone."""

    def __init__(self, clock: Clock, hint: Hint, backoffs: Backoffs = DEFAULT_BACKOFFS) -> None:
        self._clock, self._hint, self._backoffs = clock, hint, backoffs
        self._active: dict[str, QueuedPod] = {}
        self._backoff: dict[str, QueuedPod] = {}
        self._unschedulable: dict[str, QueuedPod] = {}
        self._taken_out: dict[str, QueuedPod] = {}
        self._order = itertools.count()
        # Heaps of (key, sequence, pod); an entry whose pod is no longer in the part is stale and skipped.
        self._active_heap: list[tuple[int, float, int, QueuedPod]] = []
        self._backoff_heap: list[tuple[float, int, QueuedPod]] = []
        self._changed = asyncio.Event()
        self._next_flush = clock.monotonic() + _FLUSH_PERIOD
        self._held = False

    @property
    def held(self) -> bool:
        """Whether `pop` gives out nothing (`kubelab step`)."""
        return self._held

    def hold(self) -> None:
        """`pop` gives out nothing until `release`; `take` takes pods one by one."""
        self._held = True

    def release(self) -> None:
        """The end of `hold`."""
        self._held = False
        self._changed.set()

    def add(self, pod: PodInfo) -> None:
        """A pod without node was created, or seen first."""
        if self._find(pod.uid) is None and pod.uid not in self._taken_out:
            self._place(QueuedPod(pod, self._clock.monotonic()), _ADDED)
        else:
            self.update(pod)

    def update(self, pod: PodInfo) -> None:
        """A waiting pod changed. One that could not be scheduled is tried again if that may help it."""
        queued = self._find(pod.uid) or self._taken_out.get(pod.uid)
        if queued is None:
            return
        old, queued.pod = queued.pod, pod
        if old.spec == pod.spec and old.labels == pod.labels:
            return  # among others what the scheduler itself says of it
        change = Change(What.ITSELF, old, pod)
        if pod.uid in self._taken_out:
            queued.changes.append(change)
        elif pod.uid in self._unschedulable and self._freed(queued, old, change):
            del self._unschedulable[pod.uid]
            self._place(queued, _UPDATED)

    def _freed(self, queued: QueuedPod, old: PodInfo, change: Change) -> bool:
        """Whether its own change takes the pod out of the unschedulable part: the last gate goes, or a rule says so."""
        if old.gates:
            return not queued.gated
        return self._hint(queued.pod, queued.refused_by, change)

    def delete(self, uid: str) -> None:
        """The pod is gone, bound, or someone else's."""
        for part in (self._active, self._backoff, self._unschedulable, self._taken_out):
            part.pop(uid, None)

    async def pop(self) -> QueuedPod:
        """Wait for the next pod and take it out."""
        while True:
            self._promote()
            while self._active_heap and not self._held:
                queued = heapq.heappop(self._active_heap)[3]
                if self._active.get(queued.pod.uid) is queued:
                    return self._taken(queued)
            await self._wait()

    def peek(self, key: str = "") -> QueuedPod | None:
        """The pod that is next, or the one of `key` (`namespace/name`) in whatever part; None when there is none."""
        self._promote()
        if not key:
            return min(self._active.values(), key=_turn, default=None)
        parts = (self._active, self._backoff, self._unschedulable)
        return next((each for part in parts for each in part.values() if each.pod.key == key), None)

    def take(self, key: str = "") -> QueuedPod | None:
        """Take out what `peek` shows, even while held."""
        queued = self.peek(key)
        if queued is None:
            return None
        self.delete(queued.pod.uid)
        return self._taken(queued)

    def waiting(self) -> list[str]:
        """The keys of the active part, in their order."""
        return [each.pod.key for each in sorted(self._active.values(), key=_turn)]

    def later(self) -> list[dict[str, Any]]:
        """The other pods: key; after: seconds, None until something changes; failures; refused: by which plugins."""
        now = self._clock.monotonic()
        soon = sorted(self._backoff.values(), key=lambda each: each.backoff_until)
        return [
            {
                "key": each.pod.key,
                "after": max(0.0, each.backoff_until - now) if part == "backoff" else None,
                "failures": each.attempts,
                "refused": sorted(each.refused_by),
            }
            for part, pods in (("backoff", soon), ("unschedulable", self._unschedulable.values()))
            for each in pods
        ]

    def _taken(self, queued: QueuedPod) -> QueuedPod:
        self._active.pop(queued.pod.uid, None)
        self._taken_out[queued.pod.uid] = queued
        queued.attempts += 1
        queued.changes.clear()
        queued.tried, queued.backoff = self._clock.monotonic(), self._backoffs.after(queued.attempts)
        return queued

    def put_back(self, queued: QueuedPod, refused_by: Iterable[str] = ()) -> None:
        """Return a popped pod that could not be scheduled, unless it is gone.

        refused_by: the plugins whose refusals made it so; empty for an error, after which only backoff is due.
        """
        if self._taken_out.pop(queued.pod.uid, None) is None:
            return
        queued.refused_by = frozenset(refused_by)
        queued.added = queued.tried = self._clock.monotonic()
        helped = any(self._hint(queued.pod, queued.refused_by, change) for change in queued.changes)
        if queued.refused_by and not helped:
            self._unschedulable[queued.pod.uid] = queued
            observed.came("unschedulable", _FAILED)
        else:
            self._to_backoff(queued, _FAILED)

    def move(self, change: Change) -> int:
        """Something changed: take out of the unschedulable part whom it may help. Returns how many it took."""
        helped = [
            queued
            for queued in self._unschedulable.values()
            if not queued.gated and self._hint(queued.pod, queued.refused_by, change)
        ]
        for queued in helped:
            del self._unschedulable[queued.pod.uid]
            self._place(queued, observed.event_of(change))
        return len(helped)

    def activate(self, uid: str) -> None:
        """Try a waiting pod at once, whatever its backoff."""
        queued = self._backoff.pop(uid, None) or self._unschedulable.pop(uid, None)
        if queued is not None:
            self._to_active(queued, _FORCED)

    def retry(self, uid: str) -> None:
        """What was to help a waiting pod could not be done: it is tried again after its backoff."""
        queued = self._unschedulable.pop(uid, None)
        if queued is not None:
            self._place(queued, _FAILED)

    def lengths(self) -> dict[str, int]:
        """Pods per part (the scheduler_pending_pods metric)."""
        gated = sum(1 for queued in self._unschedulable.values() if queued.gated)
        return {
            "active": len(self._active),
            "backoff": len(self._backoff),
            "unschedulable": len(self._unschedulable) - gated,
            "gated": gated,
        }

    def _find(self, uid: str) -> QueuedPod | None:
        return self._active.get(uid) or self._backoff.get(uid) or self._unschedulable.get(uid)

    def _place(self, queued: QueuedPod, event: str) -> None:
        if queued.gated:
            queued.refused_by = frozenset((SCHEDULING_GATES,))
            self._unschedulable[queued.pod.uid] = queued
        elif queued.backoff_until > self._clock.monotonic():
            self._to_backoff(queued, event)
        else:
            self._to_active(queued, event)

    def _to_active(self, queued: QueuedPod, event: str) -> None:
        if queued.since is None:
            queued.since = self._clock.monotonic()
        self._active[queued.pod.uid] = queued
        heapq.heappush(self._active_heap, (-queued.pod.priority, queued.added, next(self._order), queued))
        observed.came("active", event)
        self._changed.set()

    def _to_backoff(self, queued: QueuedPod, event: str) -> None:
        self._backoff[queued.pod.uid] = queued
        heapq.heappush(self._backoff_heap, (queued.backoff_until, next(self._order), queued))
        observed.came("backoff", event)
        self._changed.set()

    def _promote(self) -> None:
        """Move to active whose backoff is over, and who has waited unschedulable for too long."""
        now = self._clock.monotonic()
        while self._backoff_heap and self._backoff_heap[0][0] <= now:
            queued = heapq.heappop(self._backoff_heap)[2]
            if self._backoff.get(queued.pod.uid) is queued:
                del self._backoff[queued.pod.uid]
                self._to_active(queued, _BACKED_OFF)
        if now < self._next_flush:
            return
        self._next_flush = now + _FLUSH_PERIOD
        stale = [q for q in self._unschedulable.values() if not q.gated and now - q.tried > MAX_UNSCHEDULABLE]
        for queued in stale:
            del self._unschedulable[queued.pod.uid]
            self._to_active(queued, _TIMED_OUT)

    async def _wait(self) -> None:
        """Return when a part changed or the next backoff (or flush) is due."""
        self._changed.clear()
        due = self._next_flush if self._unschedulable else None
        if self._backoff_heap:
            due = self._backoff_heap[0][0] if due is None else min(due, self._backoff_heap[0][0])
        waiters: list[asyncio.Future[object]] = [asyncio.ensure_future(self._changed.wait())]
        if due is not None:
            waiters.append(asyncio.ensure_future(self._clock.sleep(due - self._clock.monotonic())))
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Not awaited: a cancellation of ours that came just then would pass for theirs and be lost.
            for waiter in waiters:
                waiter.cancel()
