"""`loop`: whether a question of ours comes back to us. A server that forwards to itself answers nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from apimachinery.kit.clock import Clock
from nodeagent.dns import message
from nodeagent.dns.message import HINFO, Name, Query, format_name
from nodeagent.dns.settings import covers

TRIES = 30  # one a second
SETTLED = 2.0  # seconds after the answer, from which on nothing is looked for
_MOST_SEEN = 2


class LoopDetector:
    """For one server block. `looped` is told, in CoreDNS's words, when a loop was seen."""

    def __init__(self, zone: Name, port: int, looped: Callable[[str], None]) -> None:
        self._zone, self._port, self._looped = zone, port, looped
        numbers = (str(random.getrandbits(62)), str(random.getrandbits(62)))
        self._name: Name = (*numbers, *zone)
        self._seen, self._off = 0, False

    def see(self, query: Query) -> None:
        """A question that is about to be forwarded."""
        if self._off or query.type != HINFO or query.name != self._name or not covers((self._zone,), query.name):
            return
        self._seen += 1
        if self._seen > _MOST_SEEN:
            self._off = True
            self._looped(
                f"plugin/loop: Loop (127.0.0.1:{self._port} -> :{self._port}) "
                f'detected for zone "{format_name(self._zone)}", '
                "see https://coredns.io/plugins/loop#troubleshooting. "
                f'Query: "HINFO {format_name(self._name)}"'
            )

    async def probe(self, clock: Clock) -> None:
        """Send the question until it is answered, and look for it a little longer."""
        for _ in range(TRIES):
            if await self._ask():
                await clock.sleep(SETTLED)
                break
            self._seen = 0
            await clock.sleep(1.0)
        self._off = True

    async def _ask(self) -> bool:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                if not answered.done():
                    answered.set_result(None)

        transport, _ = await loop.create_datagram_endpoint(Protocol, remote_addr=("127.0.0.1", self._port))
        try:
            transport.sendto(message.write_query(random.getrandbits(16), self._name, HINFO))
            async with asyncio.timeout(2.0):
                await answered
        except (OSError, TimeoutError):
            return False
        finally:
            transport.close()
        return True
