"""Asking other servers: each in order, over UDP with a port of its own, over TCP when the answer was cut."""

from __future__ import annotations

import asyncio
import logging
import random
import struct

from nodeagent.dns import message
from nodeagent.dns.corefile import Forward

log = logging.getLogger(__name__)

TIMEOUT = 2.0  # seconds for each server and each transport


class NoAnswer(Exception):
    """None of the servers answered."""


class Forwarder:
    """Asks the servers of one `forward` directive."""

    def __init__(self, forward: Forward) -> None:
        self.zone = forward.zone
        self._servers = forward.servers
        self._slots = asyncio.Semaphore(forward.max_concurrent)

    @property
    def saturated(self) -> bool:
        """Whether as many questions are under way as are allowed; one more is to be refused, not queued."""
        return self._slots.locked()

    async def ask(self, data: bytes, raw_question: bytes, *, tcp: bool) -> bytes:
        """The answer to the query `data`, with its id. tcp: ask over TCP at once. Raises NoAnswer."""
        id_ = struct.unpack_from("!H", data)[0]
        fresh = random.getrandbits(16)  # ours, so that nobody who guesses the client's can answer in a server's stead
        asked = struct.pack("!H", fresh) + data[2:]
        async with self._slots:
            for server in self._servers:
                try:
                    async with asyncio.timeout(TIMEOUT):
                        answer = await _exchange(server, asked, fresh, raw_question, tcp)
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    log.info("%s: %s", server[0], str(error) or type(error).__name__)
                    continue
                return struct.pack("!H", id_) + answer[2:]
        raise NoAnswer(f"none of {len(self._servers)} servers answered")


async def _exchange(server: tuple[str, int], asked: bytes, id_: int, raw_question: bytes, tcp: bool) -> bytes:
    if not tcp:
        answer = await _over_udp(server, asked, id_, raw_question)
        if not message.is_truncated(answer):
            return answer
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(asked)) + asked)
        size = struct.unpack("!H", await reader.readexactly(2))[0]
        answer = await reader.readexactly(size)
    finally:
        writer.close()
    if not message.answers_question(answer, id_, raw_question):
        raise OSError("the answer is to another question")
    return answer


async def _over_udp(server: tuple[str, int], asked: bytes, id_: int, raw_question: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if not answered.done() and message.answers_question(data, id_, raw_question):
                answered.set_result(data)

        def error_received(self, error: Exception) -> None:
            if not answered.done():
                answered.set_exception(error)

    transport, _ = await loop.create_datagram_endpoint(Protocol, remote_addr=server)
    try:
        transport.sendto(asked)
        return await answered
    finally:
        transport.close()
