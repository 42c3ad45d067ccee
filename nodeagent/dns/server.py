"""The sockets of one port: datagrams, and TCP streams (RFC 7766: several questions on one, each with its length)."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

from nodeagent.dns import message
from nodeagent.dns.resolver import Asked, Resolver, parse
from nodeagent.dns.udp import UdpListener

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 200
IDLE = 10.0  # seconds after which a silent TCP connection is closed
EVERYWHERE = ""


class Server:
    """Serves `resolver` on `port` of `host`, UDP and TCP; every address of both families for EVERYWHERE."""

    def __init__(self, resolver: Resolver, host: str, port: int) -> None:
        self._resolver, self._host, self._port = resolver, host, port
        self._udp: list[UdpListener] = []
        self._tcp: list[asyncio.Server] = []
        self._connections = 0

    async def open(self) -> None:
        """Raises OSError when the port cannot be bound; nothing is open then."""
        try:
            for host, family in _addresses(self._host):
                self._udp.append(UdpListener(self._resolver, host, self._port, family))
                self._tcp.append(await asyncio.start_server(self._connection, host, self._port, family=family))
        except OSError:
            self.close()
            raise
        for listener in self._udp:
            listener.start()

    def use(self, resolver: Resolver) -> None:
        """Answer by another configuration from now on; questions under way end by the former."""
        self._resolver.close()
        self._resolver = resolver
        for listener in self._udp:
            listener.use(resolver)

    def forget(self) -> None:
        """What was answered may no longer be true."""
        for listener in self._udp:
            listener.forget()

    def close(self) -> None:
        self._resolver.close()
        for listener in self._udp:
            listener.close()
        for server in self._tcp:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        client = writer.get_extra_info("peername")
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    size = struct.unpack("!H", await reader.readexactly(2))[0]
                async with asyncio.timeout(IDLE):
                    data = await reader.readexactly(size)
                answer = await self._over_tcp(data, client[:2])
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

    async def _over_tcp(self, data: bytes, client: tuple[str, int]) -> bytes | None:
        began = self._resolver.clock.monotonic()
        query = parse(data)
        if not isinstance(query, message.Query):
            return query
        resolver = self._resolver
        asked = Asked(query, len(data), client, "tcp", "2" if ":" in client[0] else "1", began)
        reply = resolver.at_once(asked)
        if reply is None:
            reply = await resolver.later(asked)
        return reply.data


def _addresses(host: str) -> list[tuple[str, int]]:
    if host != EVERYWHERE:
        return [(host, socket.AF_INET6 if ":" in host else socket.AF_INET)]
    found = [("0.0.0.0", int(socket.AF_INET))]
    try:
        # A kernel without IPv6 has no such sockets, or no such address.
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return found
    return [*found, ("::", int(socket.AF_INET6))]
