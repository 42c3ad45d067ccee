"""What the loops of one component share: a client, informers, recorders of events; and how they are run together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from apimachinery.cache.informer import InformerFactory
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.kit.clock import Clock

log = logging.getLogger(__name__)


class Runnable(Protocol):
    """A controller: a name and a loop that ends only when cancelled."""

    name: str

    async def run(self) -> None:
        """Work until cancelled. Begins when the shared informers have synced."""


class BaseContext:
    """Shared parts. Loops take informers, recorders and the clock from here when they are made."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.informers = InformerFactory(client)
        self.recorders: list[EventRecorder] = []

    def recorder(self, component: str) -> EventRecorder:
        """Return a recorder whose events say that `component` sent them."""
        recorder = EventRecorder(self.client, component, clock=self.clock)
        self.recorders.append(recorder)
        return recorder

    async def run(self, runnables: Iterable[Runnable]) -> None:
        """Run informers, recorders and, once all informers have synced, `runnables`, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run())
            for recorder in self.recorders:
                group.create_task(recorder.run())
            # Absence proves nothing before sync: nobody starts on a partial picture.
            await self.informers.wait_synced()
            for each in runnables:
                log.info('Started "%s"', each.name)
                group.create_task(each.run(), name=each.name)
