"""What the loops of one component share: a client, informers, recorders of events; and how they are run together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol, Self, TypeVar

from apimachinery.cache.informer import Informer, InformerFactory
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.kit.clock import Clock

log = logging.getLogger(__name__)


class Runnable(Protocol):
    """A controller: a name and a loop that ends only when cancelled."""

    name: str

    async def run(self) -> None:
        """Work until cancelled. Begins when the shared informers have synced."""


Made = TypeVar("Made", bound=Runnable)


class BaseContext:
    """Shared parts. Loops take informers, recorders and the clock from here when they are made."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.informers = InformerFactory(client)
        self.recorders: list[EventRecorder] = []
        self._needs: dict[Runnable, tuple[Informer, ...]] = {}

    def make(self, make: Callable[[Self], Made]) -> Made:
        """What `make` makes of this context: it starts when the informers have synced that it asked for on the way."""
        with self.informers.noting() as asked:
            made = make(self)
        self._needs[made] = tuple(asked)
        return made

    def recorder(self, component: str) -> EventRecorder:
        """Return a recorder whose events say that `component` sent them."""
        recorder = EventRecorder(self.client, component, clock=self.clock)
        self.recorders.append(recorder)
        return recorder

    async def run(self, runnables: Iterable[Runnable]) -> None:
        """Run informers, recorders and, each once its informers have synced, `runnables`, until cancelled. Who was not
        made by `make` waits for all of them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run())
            for recorder in self.recorders:
                group.create_task(recorder.run())
            for each in runnables:
                group.create_task(self._begin(each), name=each.name)

    async def _begin(self, runnable: Runnable) -> None:
        # Absence proves nothing before sync: nobody starts on a partial picture. What another needs keeps nobody
        # waiting: a kind that cannot be read (an encrypted object whose key was lost) stops those who read it.
        if (needs := self._needs.get(runnable)) is None:
            await self.informers.wait_synced()
        else:
            for informer in needs:
                await informer.wait_synced()
        log.info('Started "%s"', runnable.name)
        await runnable.run()
