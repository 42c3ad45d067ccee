"""When to sync: after changes, at most so often; and to look whether the kernel still has the rules.

With nf_tables the kernel tells of every change of rules, so that a flush is seen at once and looking costs nothing
meanwhile. iptables-legacy tells nothing: there one looks every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.clock import Clock
from nodeagent.netlink.rule_events import RuleEvents

from .health import ServiceHealth
from .proxier import Proxier

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between looks where the kernel tells nothing
SETTLE_SECONDS = 1.0  # from a notice to the look: who changes rules mostly changes several
_VERIFY = "verify "


class SyncLoop:
    """Runs the proxiers. min_period: seconds between two syncs of a family; sync_period: between looks in any case."""

    def __init__(
        self,
        proxiers: Sequence[Proxier],
        health: ServiceHealth,
        clock: Clock,
        *,
        min_period: float,
        sync_period: float,
    ) -> None:
        self._proxiers: Mapping[str, Proxier] = {proxier.label: proxier for proxier in proxiers}
        self._health, self._clock = health, clock
        self._min_period, self._sync_period = min_period, sync_period
        self._queue = WorkQueue(clock)
        self._next: dict[str, float] = dict.fromkeys(self._proxiers, 0.0)
        self._asked: set[str] = set()
        self._events: RuleEvents | None = None
        self._writing, self._unexplained = False, 0
        self.controller = Controller("proxy-rules", self._reconcile, self._queue)

    def changed(self) -> None:
        """Something changed that the proxiers know of: sync soon. Cheap; may be called for every event."""
        for label, allowed in self._next.items():
            if label not in self._asked:
                self._asked.add(label)
                self._queue.add_after(label, max(0.0, allowed - self._clock.monotonic()))

    async def run(self, *, told_by_kernel: bool) -> None:
        """Sync once, then as needed, until cancelled. told_by_kernel: whether the rules live in nf_tables."""
        with ExitStack() as undo:
            told = told_by_kernel and self._listen(undo)
            period = self._sync_period if told else min(LOOK_SECONDS, self._sync_period)
            self.changed()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.controller.run())
                group.create_task(self._look_often(period))

    def _listen(self, undo: ExitStack) -> bool:
        try:
            events = undo.enter_context(closing(RuleEvents()))
        except OSError as error:
            log.warning("cannot hear of changed rules: %s; looking every %g s", error, LOOK_SECONDS)
            return False
        loop = asyncio.get_running_loop()
        loop.add_reader(events.fileno(), self._noticed)
        undo.callback(loop.remove_reader, events.fileno())
        self._events = events
        return True

    def _noticed(self) -> None:
        """Somebody committed rules; what a sync under way commits is counted and taken off when it has ended."""
        assert self._events is not None
        self._unexplained += self._events.transactions()
        if self._unexplained > 0 and not self._writing:
            self._unexplained = 0
            for label in self._proxiers:
                self._ask(_VERIFY + label, SETTLE_SECONDS)

    async def _sync(self, label: str) -> float | None:
        proxier = self._proxiers[label]
        self._writing = True
        try:
            return await proxier.sync()
        finally:
            self._writing = False
            if self._events is not None:
                self._unexplained -= proxier.transactions
                self._noticed()
                self._unexplained = 0

    async def _look_often(self, period: float) -> None:
        while True:
            await self._clock.sleep(period)
            for label in self._proxiers:
                self._ask(_VERIFY + label, 0)

    def _ask(self, key: str, seconds: float) -> None:
        if key not in self._asked:
            self._asked.add(key)
            self._queue.add_after(key, seconds)

    async def _reconcile(self, key: str) -> float | None:
        self._asked.discard(key)
        if key.startswith(_VERIFY):
            proxier = self._proxiers[key.removeprefix(_VERIFY)]
            if not await proxier.verify():
                self._queue.add(proxier.label)
            return None
        again = await self._sync(key)
        self._next[key] = self._clock.monotonic() + self._min_period
        await self._health.serve(self._proxiers[key])
        return again
