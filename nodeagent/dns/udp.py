"""Datagrams in and out, and the octets of answers that were just given: most questions of a cluster are asked again.

A question that came before costs one look in a dict: its octets after the id are the key, the answer's after the id the
value. What was forgotten is asked of the resolver.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.kit.metrics import Counter
from nodeagent.dns.message import Query, write_answer
from nodeagent.dns.metrics import Tally
from nodeagent.dns.resolver import Asked, Reply, Resolver, parse, shuffle

log = logging.getLogger(__name__)

MAX_TASKS = 2000  # questions that wait for others at once; more are dropped, and the client asks again
MAX_REMEMBERED = 8192  # answers; more, and all are forgotten
LONGEST_REMEMBERED = 512  # octets of a question: what is longer is not asked twice
VARIANTS = 8  # orders of the addresses of one answer
_BATCH = 64  # datagrams before others have a turn
_BUFFER = 1 << 22  # octets the kernel keeps for us: a burst of a whole node's pods

_PANICS = Counter("coredns_panics_total", "A metrics that counts the number of panics.")


@dataclass(slots=True)
class _Given:
    """An answer's octets after the id, in up to VARIANTS orders, good until then (the clock's seconds)."""

    variants: list[bytes]
    until: float
    tally: Tally
    reply: Reply
    hits: int = 0


class UdpListener:
    """One socket. family: AF_INET or AF_INET6."""

    def __init__(self, resolver: Resolver, host: str, port: int, family: int) -> None:
        """Raises OSError when the address cannot be bound."""
        self._resolver = resolver
        self._family = "1" if family == socket.AF_INET else "2"
        self._given: dict[bytes, _Given] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        for task in self._tasks:
            task.cancel()

    def use(self, resolver: Resolver) -> None:
        """Answer by another configuration from now on."""
        self._resolver = resolver
        self.forget()

    def forget(self) -> None:
        """What was answered may no longer be true."""
        for given in self._given.values():
            _settle(given)
        self._given.clear()

    def _readable(self) -> None:
        receive, send, given = self._socket.recvfrom, self._socket.sendto, self._given
        now = self._resolver.clock.monotonic
        for _ in range(_BATCH):
            try:
                data, address = receive(65535)
            except BlockingIOError:
                return
            except OSError as error:
                # A client that is gone: its ICMP error is not our affair.
                if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                    continue
                raise
            began = now()
            known = given.get(data[2:])
            if known is None or known.until <= began:
                try:
                    self._answer(data, address, began)
                except Exception:
                    _PANICS.inc()
                    log.exception("a datagram of %d octets from %s", len(data), address[0])
                continue
            known.hits += 1
            variants = known.variants
            answer = data[:2] + variants[known.hits % len(variants)]
            try:
                send(answer, address)
            except OSError:
                continue
            known.tally.add(now() - began, len(data), len(answer))
            if known.reply.shuffled and len(variants) < VARIANTS:
                self._vary(known, data)

    def _answer(self, data: bytes, address: Any, began: float) -> None:
        query = parse(data)
        if not isinstance(query, Query):
            if query is not None:
                self._send(query, address)
            return
        asked = Asked(query, len(data), address[:2], "udp", self._family, began)
        reply = self._resolver.at_once(asked)
        if reply is None:
            self._spawn(self._later(self._resolver, asked, address))
            return
        self._send(reply.data, address)
        if reply.fresh_for > 0 and len(data) <= LONGEST_REMEMBERED:
            self._remember(data[2:], reply, began)
        if reply.chain is not None and reply.found is not None and reply.found.refresh:
            self._spawn(reply.chain.refresh(query))

    def _remember(self, key: bytes, reply: Reply, began: float) -> None:
        if len(self._given) >= MAX_REMEMBERED:
            self.forget()
        if known := self._given.get(key):
            _settle(known)
        self._given[key] = _Given([reply.data[2:]], began + reply.fresh_for, reply.tally, reply)

    def _vary(self, known: _Given, data: bytes) -> None:
        """Another order of the same addresses, for the next who asks."""
        query, found = parse(data), known.reply.found
        if isinstance(query, Query) and found is not None:
            answer = replace(found.answer, records=shuffle(found.answer.records))
            known.variants.append(write_answer(query, answer, query.udp_size, found.age)[2:])

    def _spawn(self, work: Any) -> None:
        if len(self._tasks) >= MAX_TASKS:
            work.close()
            return
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, resolver: Resolver, asked: Asked, address: Any) -> None:
        self._send((await resolver.later(asked)).data, address)

    def _send(self, data: bytes, address: Any) -> None:
        try:
            self._socket.sendto(data, address)
        except OSError as error:
            log.debug("%s: %s", address[0], error)


def _settle(given: _Given) -> None:
    """Tell the cache how often its answer was given meanwhile."""
    reply = given.reply
    if given.hits and reply.found is not None and reply.found.plugin == "cache" and reply.chain is not None:
        cache = reply.chain.cache
        if cache is not None:
            cache.count_hits(cache.kind(reply.found.answer), given.hits)
