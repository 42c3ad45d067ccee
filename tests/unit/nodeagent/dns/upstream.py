"""A name server on loopback to be asked, and a client to ask with."""

import asyncio
import socket
import struct
from typing import Self

from nodeagent.dns import message, reading
from nodeagent.dns.message import NOERROR, NXDOMAIN, A, Answer, Record, format_name, parse_name


class Upstream:
    """Answers A of the names it is given (ttl, address); over UDP cut, if asked for. `asked`: how often over UDP.

    names may be changed at any time; mute: it reads and says nothing; rcode: what it says of all names instead.
    """

    def __init__(self, names: dict[str, tuple[int, str]], *, cut: bool = False) -> None:
        self.names, self._cut = names, cut
        self.mute, self.rcode = False, NOERROR
        self.port, self.asked = free_port(), 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        outer = self

        class Protocol(asyncio.DatagramProtocol):
            def connection_made(self, transport) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr) -> None:
                outer.asked += 1
                if outer.mute:
                    return
                self.transport.sendto(outer._answer(data, 30 if outer._cut else 512), addr)

        self._transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._stream, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        self._server.close()
        await self._server.wait_closed()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = struct.unpack("!H", await reader.readexactly(2))[0]
        answer = self._answer(await reader.readexactly(size), 65535)
        writer.write(struct.pack("!H", len(answer)) + answer)
        writer.close()

    def _answer(self, data: bytes, limit: int) -> bytes:
        query = message.parse_query(data)
        found = self.names.get(format_name(query.name).rstrip("."))
        if self.rcode != NOERROR:
            return message.write_answer(query, Answer(self.rcode))
        if found is None or query.type != A:
            return message.write_answer(query, Answer(NXDOMAIN, authority=(message.soa(query.name[-1:], 60, 1),)))
        record = Record(query.name, A, found[0], message.a(found[1]))
        whole = message.write_answer(query, Answer(NOERROR, (record,)))
        if len(whole) <= limit:
            return whole
        cut = bytearray(message.write_answer(query, Answer(NOERROR)))
        cut[2] |= 0x02
        return bytes(cut)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _read(data: bytes) -> tuple[int, list[tuple[str, int]]]:
    answer = reading.read_answer(data)
    records = []
    for record in answer.records:
        text = ".".join(map(str, record.data)) if record.type == A else format_name(record.data).rstrip(".")
        records.append((text, record.ttl))
    return answer.rcode, records


async def ask(port: int, name: str, qtype: int = A, *, do: bool = False) -> tuple[int, list[tuple[str, int]]]:
    """The response code and the records (address or alias, ttl) that a client is told over UDP."""
    loop = asyncio.get_running_loop()
    answered = loop.create_future()
    question = message.write_query(99, parse_name(name), qtype, do=do)

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr) -> None:
            answered.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Protocol, remote_addr=("127.0.0.1", port))
    try:
        transport.sendto(question)
        async with asyncio.timeout(20):
            data = await answered
    finally:
        transport.close()
    assert struct.unpack_from("!H", data)[0] == 99
    return _read(data)


async def ask_tcp(port: int, name: str) -> tuple[int, list[tuple[str, int]]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    question = message.write_query(99, parse_name(name), A)
    writer.write(struct.pack("!H", len(question)) + question)
    size = struct.unpack("!H", await reader.readexactly(2))[0]
    data = await reader.readexactly(size)
    writer.close()
    return _read(data)
