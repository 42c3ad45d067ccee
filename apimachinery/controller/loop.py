"""THE reconcile loop: the one place where controllers retry, count, contain errors, and can be paused.

https://github.com/kubernetes-sigs/controller-runtime, pkg/internal/controller, draws the same line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.metrics import Counter, Histogram
from apimachinery.meta.status import ApiError, is_conflict

from .queue import WorkQueue

log = logging.getLogger(__name__)

Reconcile = Callable[[str], Awaitable[float | None]]
"""Brings one key to its desired state. Absence is success. A float asks to be called again after so many seconds."""

_TOTAL = Counter("controller_reconcile_total", "Reconciliations by result", ["controller", "result"])
_SECONDS = Histogram("controller_reconcile_time_seconds", "Time of one reconciliation", ["controller"])


class Controller:
    """Workers that take keys from a queue and reconcile them.

    workers: how many keys at once (never one key twice). An exception backs the key off and disturbs no other key.
    """

    def __init__(self, name: str, reconcile: Reconcile, queue: WorkQueue, *, workers: int = 1) -> None:
        self.name, self.queue = name, queue
        self._reconcile, self._workers = reconcile, workers
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def paused(self) -> bool:
        return not self._gate.is_set()

    def pause(self) -> None:
        """Take no further key; what is being worked on is finished."""
        self._gate.clear()

    def resume(self) -> None:
        self._gate.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run(), name=f"{self.name}: queue")
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name}: worker {number}")

    async def step(self) -> str:
        """Reconcile the next key even though paused; returns it. For `kubelab step`."""
        key = await self.queue.get()
        await self._one(key)
        return key

    async def _work(self) -> None:
        while True:
            await self._gate.wait()
            key = await self.queue.get()
            if self.paused:  # the gate closed while this worker waited for a key
                self.queue.done(key)
                self.queue.add(key)
                continue
            await self._one(key)

    async def _one(self, key: str) -> None:
        started = time.perf_counter()
        result = "success"
        try:
            again = await self._reconcile(key)
        except ApiError as error:
            # A conflict is the optimistic lock at work: the next try reads what won.
            result = "conflict" if is_conflict(error) else "error"
            log.log(logging.DEBUG if is_conflict(error) else logging.WARNING, "%s: %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except ApiUnreachable as error:
            result = "error"
            log.warning("%s: %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except Exception:
            result = "error"
            log.exception("%s: reconciling %s failed", self.name, key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
        finally:
            self.queue.done(key)
            _TOTAL.labels(self.name, result).inc()
            _SECONDS.labels(self.name).observe(time.perf_counter() - started)
