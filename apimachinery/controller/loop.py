"""THE reconcile loop: the one place where controllers retry, count, contain errors, and can be paused.

https://github.com/kubernetes-sigs/controller-runtime, pkg/internal/controller, draws the same line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass

from msgspec import Struct

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.quick_metrics import QuickCounter, QuickHistogram
from apimachinery.kit.trace import Thing, current
from apimachinery.meta.status import ApiError, is_conflict

from .queue import WorkQueue

log = logging.getLogger(__name__)

Reconcile = Callable[[str], Awaitable[float | None]]
"""Brings one key to its desired state. Absence is success. A float asks to be called again after so many seconds."""

_TOTAL = QuickCounter("controller_reconcile_total", "Reconciliations by result", ["controller", "result"])
_SECONDS = QuickHistogram(
    "controller_reconcile_time_seconds",
    "Time of one reconciliation",
    ["controller"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one reconciliation. result: success, conflict or error. error: its text. again: seconds until the
    key comes back by itself, None when it does not. seconds: how long it took."""

    key: str
    result: str
    error: str
    again: float | None
    seconds: float


class _Reconciled(Struct, gc=False):
    """What the trace keeps of one reconciliation."""

    causes: tuple[Thing, ...]
    result: str
    error: str
    again: float | None
    seconds: float


class Controller:
    """Workers that take keys from a queue and reconcile them.

    workers: how many keys at once (never one key twice). An exception backs the key off and disturbs no other key.
    """

    def __init__(self, name: str, reconcile: Reconcile, queue: WorkQueue, *, workers: int = 1) -> None:
        self.name, self.queue = name, queue
        self.reconcile, self._workers = reconcile, workers
        queue.observe(name)

    @property
    def paused(self) -> bool:
        return self.queue.held

    def pause(self) -> None:
        """Take no further key; what is being worked on is finished."""
        self.queue.hold()

    def resume(self) -> None:
        self.queue.release()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run(), name=f"{self.name}: queue")
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name}: worker {number}")

    async def step(self, key: str = "") -> Outcome | None:
        """Reconcile the next key that is ready (or `key`) even though paused; None when there is none. For `kubelab
        step`."""
        taken = self.queue.take(key)
        return None if taken is None else await self._one(taken)

    async def _work(self) -> None:
        while True:
            await self._one(await self.queue.get())

    async def _one(self, key: str) -> Outcome:
        trace, causes = current(), self.queue.causes(key)
        began = trace.now() if trace is not None else 0.0
        with trace.working() if trace is not None else nullcontext(0) as work:
            outcome = await self._contained(key)
        if trace is not None:
            detail = _Reconciled(causes, outcome.result, outcome.error, outcome.again, outcome.seconds)
            trace.note_at(began, work, "reconciled", self.name, key, "", detail)
        return outcome

    async def _contained(self, key: str) -> Outcome:
        started = time.perf_counter()
        result, told, again = "success", "", None
        try:
            again = await self.reconcile(key)
        except ApiError as error:
            # A conflict is the optimistic lock at work: the next try reads what won.
            result, told = "conflict" if is_conflict(error) else "error", error.message
            log.log(logging.DEBUG if is_conflict(error) else logging.WARNING, "%s: %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except ApiUnreachable as error:
            result, told = "error", str(error)
            log.warning("%s: %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except Exception as error:
            result, told = "error", f"{type(error).__name__}: {error}"
            log.exception("%s: reconciling %s failed", self.name, key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
        finally:
            self.queue.done(key)
            seconds = time.perf_counter() - started
            _TOTAL.labels(self.name, result).inc()
            _SECONDS.labels(self.name).observe(seconds)
        return Outcome(key, result, told, again, seconds)
