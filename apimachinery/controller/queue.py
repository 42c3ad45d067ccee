"""The work queue (client-go util/workqueue): a key is worked on by one worker at a time and never forgotten.

A key added while it is being worked on is dirty: it comes back when the worker is done. Added twice while waiting, it
is worked on once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque

from apimachinery.kit.backoff import Backoff
from apimachinery.kit.clock import Clock


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

    def __len__(self) -> int:
        """How many keys wait to be worked on now."""
        return len(self._ready)

    def add(self, key: str) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Add the key after a while, or when an earlier call said if that is sooner; `run` must be under way."""
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

    async def get(self) -> str:
        """Wait for a key and take it; `done` must follow."""
        while not self._ready:
            self._changed.clear()
            await self._changed.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        """The work on the key has ended, well or badly. It comes back at once if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._changed.set()

    def waiting(self) -> list[str]:
        """The keys that wait, in order: what `kubelab step` shows."""
        return list(self._ready)

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
