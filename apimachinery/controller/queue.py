"""The work queue (client-go util/workqueue): a key is worked on by one worker at a time and never forgotten.

A key added while it is being worked on is dirty: it comes back when the worker is done. Added twice while waiting, it
is worked on once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from dataclasses import dataclass

from apimachinery.kit.backoff import Backoff
from apimachinery.kit.clock import Clock
from apimachinery.kit.trace import Causes, Thing

from .queue_metrics import QueueMetrics


@dataclass(frozen=True, slots=True)
class Later:
    """A key that is not ready yet. after: seconds. failures: how often it has failed in a row; 0 when it only waits."""

    key: str
    after: float
    failures: int


class WorkQueue:
    """Keys to work on. base, cap: the backoff of `add_rate_limited`, in seconds (upstream's 5 ms → 1000 s)."""

    def __init__(self, clock: Clock, *, base: float = 0.005, cap: float = 1000.0) -> None:
        self._clock = clock
        self._backoff = Backoff(base, cap, clock)
        self._failures: dict[str, int] = {}
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._changed = asyncio.Event()
        self._later: list[tuple[float, int, str]] = []
        self._due: dict[str, float] = {}  # when each key of it is to come; what says otherwise there is superseded
        self._order = itertools.count()
        self._sooner = asyncio.Event()
        self._held = False
        self._causes = Causes()
        self._metrics: QueueMetrics | None = None

    def observe(self, controller: str) -> None:
        """Show in /metrics what happens from now on, as the queue of that controller."""
        self._metrics = QueueMetrics(controller, self._clock)

    def __len__(self) -> int:
        """How many keys wait to be worked on now."""
        return len(self._ready)

    def add(self, key: str) -> None:
        self._causes.remember(key)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if self._metrics is not None:
            self._metrics.added(key)
        if key not in self._processing:
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Add the key after a while, or when an earlier call said if that is sooner; `run` must be under way."""
        self._causes.remember(key)
        if self._metrics is not None:
            self._metrics.retried()
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._order), key))
        self._sooner.set()

    def add_rate_limited(self, key: str) -> None:
        """Add after the key's backoff, which grows with every call until `forget`."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, self._backoff.next(key))

    def failures(self, key: str) -> int:
        """How often `add_rate_limited` was called since `forget`."""
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """The key succeeded: its backoff starts anew."""
        self._failures.pop(key, None)
        self._backoff.reset(key)

    @property
    def held(self) -> bool:
        return self._held

    def hold(self) -> None:
        """`get` gives out nothing until `release`; keys gather, and `take` takes them one by one."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._changed.set()

    async def get(self) -> str:
        """Wait for a key and take it; `done` must follow."""
        while self._held or not self._ready:
            self._changed.clear()
            await self._changed.wait()
        return self._taken(self._ready.popleft())

    def take(self, key: str = "") -> str | None:
        """Take the next key that is ready, or `key` (ready or to come later), even while held; None when there is none.

        A key that is being worked on cannot be taken."""
        if not key:
            return self._taken(self._ready.popleft()) if self._ready else None
        if key in self._ready:
            self._ready.remove(key)
        elif key not in self._due or key in self._processing:
            return None
        self._due.pop(key, None)
        return self._taken(key)

    def causes(self, key: str) -> tuple[Thing, ...]:
        """The deliveries that made a key ready which was just taken; they are forgotten."""
        return self._causes.take(key)

    def _taken(self, key: str) -> str:
        self._dirty.discard(key)
        self._processing.add(key)
        if self._metrics is not None:
            self._metrics.taken(key)
        return key

    def done(self, key: str) -> None:
        """The work on the key has ended, well or badly. It comes back at once if it was added meanwhile."""
        self._processing.discard(key)
        if self._metrics is not None:
            self._metrics.done(key)
        if key in self._dirty:
            self._ready.append(key)
            self._changed.set()

    def waiting(self) -> list[str]:
        """The keys that wait, in order: what `kubelab step` shows."""
        return list(self._ready)

    def working(self) -> list[str]:
        """The keys that are being worked on."""
        return sorted(self._processing)

    def later(self) -> list[Later]:
        """The keys that are to come, the next one first."""
        now = self._clock.monotonic()
        due = sorted(self._due.items(), key=lambda each: each[1])
        return [Later(key, max(0.0, at - now), self.failures(key)) for key, at in due]

    async def run(self) -> None:
        """Move keys of `add_after` to the queue when they are due; until cancelled."""
        while True:
            now = self._clock.monotonic()
            while self._later and self._later[0][0] <= now:
                due, _, key = heapq.heappop(self._later)
                if self._due.get(key) == due:
                    del self._due[key]
                    self.add(key)
            self._sooner.clear()
            waiters: list[asyncio.Future[object]] = [asyncio.ensure_future(self._sooner.wait())]
            if self._later:
                waiters.append(asyncio.ensure_future(self._clock.sleep(self._later[0][0] - now)))
            try:
                await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Not awaited: a cancellation of ours that came just then would pass for theirs and be lost.
                for waiter in waiters:
                    waiter.cancel()
