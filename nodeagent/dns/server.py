"""The sockets: UDP datagrams and TCP streams (RFC 7766: several questions on one connection, each with its length)."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import Any

from nodeagent.dns import message
from nodeagent.dns.resolver import Resolver

log = logging.getLogger(__name__)

MAX_TASKS = 2000  # questions that wait for others at once; more are dropped, and the client asks again
MAX_CONNECTIONS = 200
IDLE = 10.0  # seconds after which a silent TCP connection is closed


class Server:
    """Serves `resolver` on `host`:`port`, UDP and TCP."""

    def __init__(self, resolver: Resolver, host: str, port: int) -> None:
        self._resolver, self._host, self._port = resolver, host, port
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises OSError when the port cannot be bound."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self._host, self._port)
        )
        try:
            async with await asyncio.start_server(self._connection, self._host, self._port):
                await stop.wait()
        finally:
            transport.close()
            for task in self._tasks:
                task.cancel()

    def datagram(self, transport: asyncio.DatagramTransport, data: bytes, address: Any) -> None:
        """Answer one datagram; on the spot when nobody else must be asked."""
        query = _parse(data)
        if not isinstance(query, message.Query):
            if query is not None:
                transport.sendto(query, address)
            return
        limit = query.udp_size
        answer = self._resolver.at_once(query, limit)
        if answer is not None:
            transport.sendto(answer, address)
        elif len(self._tasks) < MAX_TASKS:
            task = asyncio.ensure_future(self._later(transport, query, data, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _later(
        self, transport: asyncio.DatagramTransport, query: message.Query, data: bytes, address: Any
    ) -> None:
        answer = await self._resolver.ask_others(query, data, query.udp_size, tcp=False)
        if not transport.is_closing():
            transport.sendto(answer, address)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    size = struct.unpack("!H", await reader.readexactly(2))[0]
                async with asyncio.timeout(IDLE):
                    data = await reader.readexactly(size)
                answer = await self._over_tcp(data)
                if answer is None:
                    return
                writer.write(struct.pack("!H", len(answer)) + answer)
                async with asyncio.timeout(IDLE):
                    await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        finally:
            self._connections -= 1
            writer.close()

    async def _over_tcp(self, data: bytes) -> bytes | None:
        query = _parse(data)
        if not isinstance(query, message.Query):
            return query
        answer = self._resolver.at_once(query, 65535)
        return answer if answer is not None else await self._resolver.ask_others(query, data, 65535, tcp=True)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert self._transport is not None
        try:
            self._server.datagram(self._transport, data, addr)
        except Exception:
            log.exception("a datagram of %d octets from %s", len(data), addr[0])

    def error_received(self, error: Exception) -> None:
        """A client that is gone: its ICMP error is not our affair."""


def _parse(data: bytes) -> message.Query | bytes | None:
    """The query; or what to answer instead; or None for silence."""
    try:
        return message.parse_query(data)
    except message.BadMessage as error:
        log.debug("not a query: %s", error)
        return message.write_error(data, message.FORMERR)
