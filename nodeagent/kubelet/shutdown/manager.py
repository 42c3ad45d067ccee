"""Ending the node's pods before the machine goes down (pkg/kubelet/nodeshutdown).

A lock is held while the node runs; when a shutdown is announced the pods are ended, group by group, and the lock is let
go. A cancelled shutdown takes a new lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from apimachinery.kit.clock import Clock
from nodeagent.kubelet import pods
from nodeagent.kubelet.admission.predicates import Refusal
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.status.compute import Verdict

from .groups import Period, grace, group
from .logind import Inhibitor, LogindProblem, release

log = logging.getLogger(__name__)

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
_RECONNECT = 1.0


@dataclass(frozen=True, slots=True)
class Hands:
    """active: the pods that may run. end: with a verdict and a grace in seconds. changed: the node's status did."""

    active: Callable[[], Sequence[Pod]]
    end: Callable[[Pod, Verdict, int], Awaitable[object]]
    changed: Callable[[], None]


class ShutdownManager:
    """Delays the machine's shutdown until the pods have ended. periods: none for a shutdown at once."""

    def __init__(
        self,
        periods: Sequence[Period],
        connect: Callable[[], Awaitable[Inhibitor]],
        hands: Hands,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._periods, self._connect, self._hands = periods, connect, hands
        self._recorder, self._clock = recorder, clock
        self._lock: int | None = None
        self.shutting_down = False

    def problem(self) -> str | None:
        """Why the node is not ready; None while nobody shuts it down."""
        return "node is shutting down" if self.shutting_down else None

    def refusal(self, _pod: Pod) -> Refusal | None:
        """No pod begins on a node that is going down."""
        if not self.shutting_down:
            return None
        return Refusal("NodeShutdown", "Pod was rejected as the node is shutting down.")

    async def run(self) -> None:
        """Hold the lock and act on what logind says, until cancelled."""
        if not self._periods:
            log.info("No graceful configuration specified, node shutdown will be immediate")
            return
        told = ""
        while True:
            try:
                await self._watch()
                log.error("Ended to watching the node for shutdown events")
                told = ""
            except LogindProblem as error:
                if str(error) != told:
                    log.error("Failed to start node shutdown manager: %s", error)
                    told = str(error)
            await self._clock.sleep(_RECONNECT)

    async def _watch(self) -> None:
        logind = await self._connect()
        try:
            await self._ensure_delay(logind)
            self._hold(await logind.inhibit())
            async for begins in logind.shutdowns():
                await self._announced(begins, logind)
        finally:
            self._release()
            await logind.close()

    async def _ensure_delay(self, logind: Inhibitor) -> None:
        wanted = float(sum(period.seconds for period in self._periods))
        if await logind.longest_delay() >= wanted:
            return
        await logind.allow_delay(wanted)
        granted = await logind.longest_delay()
        if granted < wanted:
            raise LogindProblem(
                f"node shutdown manager was unable to update logind InhibitDelayMaxSec to {wanted:.0f}s "
                f"(ShutdownGracePeriod), current value of InhibitDelayMaxSec ({granted:.0f}s) is less than requested "
                "ShutdownGracePeriod"
            )

    async def _announced(self, begins: bool, logind: Inhibitor) -> None:
        what = "event" if begins else "cancellation"
        log.info("Shutdown manager detected new shutdown event: %s", "shutdown" if begins else "cancelled")
        self._recorder.node("Normal", "NodeShutdown", f"Shutdown manager detected shutdown {what}")
        self.shutting_down = begins
        self._hands.changed()
        if not begins:
            self._hold(await logind.inhibit())
            return
        try:
            await self.end_pods()
        finally:
            self._release()
            log.info("Shutdown manager completed processing shutdown event, node will shutdown shortly")

    async def end_pods(self) -> None:
        """End every pod, group by group; each group has its own time and no more."""
        for period, doomed in group(self._periods, self._hands.active()):
            if not doomed:
                continue
            try:
                async with asyncio.timeout(period.seconds):
                    await asyncio.gather(*(self._end(pod, grace(pod, period)) for pod in doomed))
            except TimeoutError:
                log.info("Shutdown manager pod killing time out gracePeriod=%d priority=%d", *_fields(period))

    async def _end(self, pod: Pod, seconds: int) -> None:
        log.info("Shutdown manager killing pod with gracePeriod pod=%s gracePeriod=%d", pods.describe(pod), seconds)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": MESSAGE,
        }
        await self._hands.end(pod, Verdict(REASON, MESSAGE, (condition,)), seconds)

    def _hold(self, lock: int) -> None:
        self._release()
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                release(self._lock)
            self._lock = None


def _fields(period: Period) -> tuple[int, int]:
    return period.seconds, period.priority
