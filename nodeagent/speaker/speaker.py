"""Answers neighbours who ask for the addresses of load balancers that this node announces, and tells the network when
it begins to: by ARP for IPv4, by Neighbour Discovery for IPv6."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from apimachinery.api.catalogue import SERVICES
from apimachinery.cache.informer import InformerFactory
from apimachinery.kit.clock import Clock

from .arp import ARP
from .link import Wire, find_interface
from .ndp import NDP
from .plan import IPAddress, Pool, plan_announced

log = logging.getLogger(__name__)

#: Neighbours do not believe a change within a second after the last (arp(7), locktime), and frames get lost.
REPEATS, PAUSE = 5, 1.1  # times, seconds
#: Seconds after which all is told again, and an interface that was away is looked for.
PERIOD = 30.0

Addresses = frozenset[IPAddress]


class Speaker:
    """One node's, for one family. Holds a socket only while there is something to announce."""

    def __init__(
        self,
        node_name: str,
        pool: Pool,
        factory: InformerFactory,
        clock: Clock,
        find: Callable[[IPAddress], tuple[str, bytes] | None] = find_interface,
    ) -> None:
        self._node_name, self._pool, self._clock, self._find = node_name, pool, clock, find
        self._language = ARP if pool[0].version == 4 else NDP
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
        for address in sorted(self._mine - wanted, key=int):
            log.info("no longer announcing %s", address)
        for address in sorted(wanted - self._mine, key=int):
            log.info("announcing %s", address)
        self._mine = wanted
        if not wanted:
            self._hold(None)
        elif self._wire is None or self._wire.broken:
            self._hold(self._open())
        if self._wire is not None:
            self._wire.listen(frozenset(filter(None, (self._language.group(each.packed) for each in wanted))))

    def _open(self) -> Wire | None:
        found = self._find(self._pool[0])
        if found is None:
            log.error("no interface has an address in the network of %s: cannot announce", self._pool[0])
            return None
        try:
            return Wire(*found, self._language, self._heard)
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
                for frame in self._language.announcements(address.packed, self._wire.mac):
                    self._wire.send(frame)

    def _heard(self, frame: bytes) -> None:
        question = self._language.question(frame)
        if question is None or self._wire is None or question.ip == question.target:
            return
        if any(address.packed == question.target for address in self._mine):
            self._wire.send(self._language.answer(question, self._wire.mac))

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
