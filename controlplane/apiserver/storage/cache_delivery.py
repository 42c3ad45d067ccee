"""Sending events to watches in slices, so that a thousand watches of one change do not hold up everybody's requests."""

import asyncio
import time
from collections import deque
from typing import Generic, TypeVar

from .cache_entries import CacheEvent
from .cache_watch import CacheWatch

T = TypeVar("T")

SLICE = 0.00025
"""Seconds of each turn of the event loop that deliveries may take; the last may exceed it. What is written leaves at
once (uvloop tries to send before it queues), so that a slice is what the write's own answer waits for deliveries."""


class Delivery(Generic[T]):
    """The watches of one cache that have something to send, in the order in which they got it."""

    def __init__(self) -> None:
        self._due: deque[CacheWatch[T]] = deque()
        self._warm: list[CacheEvent[T]] = []
        self._scheduled = False
        self._idle: asyncio.Future[None] | None = None

    def add(self, watch: CacheWatch[T]) -> None:
        """It has something to send."""
        watch.queued = True
        self._due.append(watch)
        self._schedule()

    def warm(self, event: CacheEvent[T]) -> None:
        """What it is encoded as is kept until everybody who is due has had a turn. Before it is offered."""
        event.warm = True
        self._warm.append(event)
        self._schedule()

    async def caught_up(self) -> None:
        """Returns when everybody who is due has had a turn, after one turn of the event loop at least."""
        await asyncio.sleep(0)
        if self._due:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        due, end = self._due, time.perf_counter() + SLICE
        while due:
            watch = due.popleft()
            watch.queued = False
            if watch.deliver() and not watch.queued:
                watch.queued = True
                due.append(watch)
            if time.perf_counter() >= end:
                break
        self._scheduled = bool(due)
        if due:
            asyncio.get_running_loop().call_soon(self._run)
            return
        for event in self._warm:
            event.cool()
        self._warm.clear()
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
