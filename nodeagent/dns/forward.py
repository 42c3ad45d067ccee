"""`forward`: asking other servers, over UDP with a port of its own, over TCP when the answer was cut or TCP was used.

A server that does not answer is looked after with health checks until it does; after `max_fails` failed ones it is down
and passed over. When all are down, one is asked all the same (https://coredns.io/plugins/forward/).
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery.kit import net_words
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter, Histogram
from nodeagent.dns import message, reading
from nodeagent.dns.message import AD, CD, NOERROR, NS, RCODES, RD, Answer, Query
from nodeagent.dns.settings import Forward, covers

log = logging.getLogger(__name__)

TIMEOUT = 2.0  # seconds for each server and each transport
DEADLINE = 5.0  # seconds for all of them
Address = tuple[str, int]

_REJECTS = Counter("coredns_forward_max_concurrent_rejects_total", "Counter of the number of queries rejected because the concurrent queries were at maximum.")  # noqa: E501  # fmt: skip
_BROKEN = Counter("coredns_forward_healthcheck_broken_total", "Counter of the number of complete failures of the healthchecks.")  # noqa: E501  # fmt: skip
_SECONDS = Histogram("coredns_proxy_request_duration_seconds", "Histogram of the time each request took.", ["proxy_name", "to", "rcode"])  # noqa: E501  # fmt: skip
_SICK = Counter("coredns_proxy_healthcheck_failures_total", "Counter of the number of failed healthchecks.", ["proxy_name", "to"])  # noqa: E501  # fmt: skip


class NoAnswer(Exception):
    """No server answered; the text says why the last one did not."""


class _Failed(OSError):
    """One server gave no answer; the text is Go's, with both ends."""


class _Silent(TimeoutError):
    """As _Failed, for want of time."""


class Saturated(Exception):
    """As many questions are under way as are allowed."""


@dataclass(slots=True, eq=False)
class _Server:
    address: Address
    fails: int = 0
    looked_after: asyncio.Task[None] | None = None

    @property
    def shown(self) -> str:
        return net_words.joined(*self.address)


@dataclass(slots=True)
class _Tried:
    """reason: why the server asked last gave no answer. answer: one that is passed on if there is no better."""

    reason: str = "no healthy proxies"
    answer: Answer | None = None


class Forwarder:
    """Asks the servers of one `forward` directive."""

    def __init__(self, settings: Forward, clock: Clock) -> None:
        self.settings, self._clock = settings, clock
        self._servers = [_Server(address) for address in settings.servers]
        self._turn = 0
        self._under_way = 0

    def covers(self, query: Query) -> bool:
        return covers((self.settings.zone,), query.name) and not covers(self.settings.excepted, query.name)

    def close(self) -> None:
        """No more health checks."""
        for server in self._servers:
            if server.looked_after is not None:
                server.looked_after.cancel()

    async def ask(self, query: Query, *, tcp: bool) -> Answer:
        """The answer of the first server that gives one. tcp: whether it was asked for over TCP.

        Raises NoAnswer and Saturated.
        """
        if self.settings.max_concurrent and self._under_way >= self.settings.max_concurrent:
            _REJECTS.inc()
            raise Saturated(f"concurrent queries exceeded maximum {self.settings.max_concurrent}")
        self._under_way += 1
        try:
            return await self._ask(query, tcp=tcp)
        finally:
            self._under_way -= 1

    async def _ask(self, query: Query, *, tcp: bool) -> Answer:
        """The servers in turn, and again for as long as there is time: a datagram may have been lost."""
        tried = _Tried()
        try:
            async with asyncio.timeout(DEADLINE):
                while await self._round(query, tried, tcp=tcp):
                    pass
        except TimeoutError:
            pass
        if tried.answer is None:
            raise NoAnswer(tried.reason)
        return tried.answer

    async def _round(self, query: Query, tried: _Tried, *, tcp: bool) -> bool:
        """Whether to ask again: when one was silent that is not known to be down. Who refuses does so again."""
        settings = self.settings
        silent = False
        for server in self._candidates():
            try:
                answer = await self._one(server, query, tcp=settings.force_tcp or (tcp and not settings.prefer_udp))
            except (OSError, message.BadMessage) as error:
                silent = silent or isinstance(error, TimeoutError)
                tried.reason = str(error)
                self._look_after(server)
            else:
                tried.answer = answer
                if answer.rcode not in settings.failover:
                    return False
        return silent and tried.answer is None and any(map(self._is_up, self._servers))

    def _candidates(self) -> Sequence[_Server]:
        """The servers in the order of the policy, without those that are down; any one when all are."""
        servers = list(self._servers)
        if self.settings.policy == "random":
            random.shuffle(servers)
        elif self.settings.policy == "round_robin" and servers:
            self._turn = (self._turn + 1) % len(servers)
            servers = servers[self._turn :] + servers[: self._turn]
        up = [server for server in servers if self._is_up(server)]
        if up or not servers:
            return up
        _BROKEN.inc()
        return [] if self.settings.fail_fast else [random.choice(servers)]

    def _is_up(self, server: _Server) -> bool:
        return not self.settings.max_fails or server.fails < self.settings.max_fails

    async def _one(self, server: _Server, query: Query, *, tcp: bool) -> Answer:
        began = self._clock.monotonic()
        # An id of ours, so that nobody who guesses the client's can answer in a server's stead.
        id_ = random.getrandbits(16)
        flags = query.flags & (RD | AD | CD)
        asked = message.write_query(id_, query.name, query.type, flags=flags, do=query.do)
        question = message.parse_query(asked).raw_question
        data = await (_over_tcp if tcp else _over_udp)(server.address, asked, id_, question)
        if not tcp and reading.is_truncated(data):
            data = await _over_tcp(server.address, asked, id_, question)
        answer = reading.read_answer(data)
        rcode = RCODES.get(answer.rcode, str(answer.rcode))
        _SECONDS.labels("forward", server.shown, rcode).observe(self._clock.monotonic() - began)
        return answer

    def _look_after(self, server: _Server) -> None:
        if self.settings.max_fails and (server.looked_after is None or server.looked_after.done()):
            server.looked_after = asyncio.ensure_future(self._until_well(server))

    async def _until_well(self, server: _Server) -> None:
        settings = self.settings
        while True:
            id_ = random.getrandbits(16)
            flags = RD if settings.health_recursive else 0
            asked = message.write_query(id_, settings.health_domain, NS, flags=flags)
            question = message.parse_query(asked).raw_question
            exchange = _over_tcp if settings.force_tcp else _over_udp
            try:
                await exchange(server.address, asked, id_, question)
            except OSError:
                server.fails += 1
                _SICK.labels("forward", server.shown).inc()
                if server.fails == settings.max_fails:
                    log.info("%s is down", server.shown)
                await self._clock.sleep(settings.health_interval)
            else:
                server.fails = 0
                return


def denies(answer: Answer, settings: Forward) -> bool:
    """Whether the next forward is to be asked instead."""
    return answer.rcode in settings.next_on and answer.rcode != NOERROR


async def _over_tcp(server: Address, asked: bytes, id_: int, question: bytes) -> bytes:
    """Raises _Failed, _Silent."""
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(*server)
    except OSError as error:
        raise _told(error, net_words.undialled(error, net_words.joined(*server))) from None
    try:
        async with asyncio.timeout(TIMEOUT):
            writer.write(struct.pack("!H", len(asked)) + asked)
            size = struct.unpack("!H", await reader.readexactly(2))[0]
            answer = await reader.readexactly(size)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise _told(error, net_words.broken(error, _ends(writer, server))) from None
    finally:
        writer.close()
    if not reading.answers_question(answer, id_, question):
        raise _Failed("the answer is to another question")
    return answer


async def _over_udp(server: Address, asked: bytes, id_: int, question: bytes) -> bytes:
    """Raises _Failed, _Silent."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Address) -> None:
            if not answered.done() and reading.answers_question(data, id_, question):
                answered.set_result(data)

        def error_received(self, error: Exception) -> None:
            if not answered.done():
                answered.set_exception(error)

    try:
        transport, _ = await loop.create_datagram_endpoint(Protocol, remote_addr=server)
    except OSError as error:
        raise _told(error, net_words.undialled(error, net_words.joined(*server), "udp")) from None
    try:
        transport.sendto(asked)
        async with asyncio.timeout(TIMEOUT):
            return await answered
    except OSError as error:
        raise _told(error, net_words.broken(error, _ends(transport, server), "udp")) from None
    finally:
        transport.close()


def _ends(transport: asyncio.DatagramTransport | asyncio.StreamWriter, server: Address) -> str:
    return f"{net_words.joined(*transport.get_extra_info('sockname')[:2])}->{net_words.joined(*server)}"


def _told(error: Exception, words: str) -> OSError:
    return _Silent(words) if isinstance(error, TimeoutError) else _Failed(words)
