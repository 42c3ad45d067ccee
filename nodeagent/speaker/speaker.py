"""Answers ARP for the addresses of load balancers that this node announces, and tells the network when it begins to."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable

from apimachinery.api.catalogue import SERVICES
from apimachinery.cache.informer import InformerFactory
from apimachinery.kit.clock import Clock

from .arp import parse_question, render_announcements, render_answer
from .link import Wire, find_interface
from .plan import Pool, plan_announced

log = logging.getLogger(__name__)

#: Neighbours do not believe a change within a second after the last (arp(7), locktime), and frames get lost.
REPEATS, PAUSE = 5, 1.1  # times, seconds
#: Seconds after which all is told again, and an interface that was away is looked for.
PERIOD = 30.0

Addresses = frozenset[ipaddress.IPv4Address]


class Speaker:
    """One node's. Holds a socket only while there is something to announce."""

    def __init__(
        self,
        node_name: str,
        pool: Pool,
        factory: InformerFactory,
        clock: Clock,
        find: Callable[[ipaddress.IPv4Address], tuple[str, bytes] | None] = find_interface,
    ) -> None:
        self._node_name, self._pool, self._clock, self._find = node_name, pool, clock, find
        self._services = factory.get(SERVICES)
        self._mine: Addresses = frozenset()
        self._wire: Wire | None = None
        self._changed = asyncio.Event()
        self._services.add_handler(lambda _: self._changed.set(), on_delete=lambda _: self._changed.set())

    async def run(self) -> None:
        """Announce until cancelled. An address that is not told any more is given up at once."""
        await self._services.wait_synced()
        repeats = 0
        try:
            while True:
                self._changed.clear()
                wanted = plan_announced(self._services.lister.list(), self._node_name, self._pool)
                if wanted - self._mine:
                    repeats = REPEATS
                self._follow(wanted)
                self._tell()
                repeats = max(0, repeats - 1)
                await self._wait(PAUSE if repeats else PERIOD if wanted else None)
        finally:
            self._hold(None)

    def _follow(self, wanted: Addresses) -> None:
        for address in sorted(self._mine - wanted):
            log.info("no longer announcing %s", address)
        for address in sorted(wanted - self._mine):
            log.info("announcing %s", address)
        self._mine = wanted
        if not wanted:
            self._hold(None)
        elif self._wire is None or self._wire.broken:
            self._hold(self._open())

    def _open(self) -> Wire | None:
        found = self._find(self._pool[0])
        if found is None:
            log.error("no interface has an address in the network of %s: cannot announce", self._pool[0])
            return None
        try:
            return Wire(*found, self._heard)
        except OSError as error:
            log.error("%s: cannot announce: %s", found[0], error.strerror)
            return None

    def _hold(self, wire: Wire | None) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = wire

    def _tell(self) -> None:
        if self._wire is not None:
            for address in self._mine:
                for frame in render_announcements(address.packed, self._wire.mac):
                    self._wire.send(frame)

    def _heard(self, frame: bytes) -> None:
        question = parse_question(frame)
        if question is None or self._wire is None or question.ip == question.target:
            return
        if ipaddress.IPv4Address(question.target) in self._mine:
            self._wire.send(render_answer(question, self._wire.mac))

    async def _wait(self, seconds: float | None) -> None:
        """For a change, at most so long."""
        if seconds is None:
            await self._changed.wait()
            return
        pause = asyncio.ensure_future(self._clock.sleep(seconds))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({pause, change}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            change.cancel()
