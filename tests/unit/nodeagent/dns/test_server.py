"""The server on loopback sockets, and another server behind it that it asks."""

import asyncio
import struct

from apimachinery.kit.clock import ManualClock
from nodeagent.dns import message
from nodeagent.dns.cache import AnswerCache
from nodeagent.dns.corefile import Forward
from nodeagent.dns.forward import Forwarder
from nodeagent.dns.message import CNAME, NOERROR, NXDOMAIN, SERVFAIL, Answer, Record
from nodeagent.dns.records import ClusterRecords
from nodeagent.dns.resolver import Resolver
from nodeagent.dns.server import Server
from tests.unit.nodeagent.dns.upstream import Upstream, ask, ask_tcp, free_port


class AliasRecords(ClusterRecords):
    """A zone with one alias that leads out of it."""

    def __init__(self) -> None:
        self.zone = ("cluster", "local")

    def answer(self, name: message.Name, qtype: int) -> Answer:
        if name[0] == "alias":
            return Answer(NOERROR, (Record(name, CNAME, 30, ("outside", "test")),))
        return Answer(NXDOMAIN)


async def _serve(upstream: Upstream, clock: ManualClock) -> tuple[int, asyncio.Task, asyncio.Event]:
    forwarder = Forwarder(Forward((), (("127.0.0.1", upstream.port),)))
    port, stop = free_port(), asyncio.Event()
    server = Server(Resolver([AliasRecords()], False, AnswerCache(60, clock), [forwarder]), "127.0.0.1", port)
    running = asyncio.ensure_future(server.run(stop))
    while True:
        try:
            (await asyncio.open_connection("127.0.0.1", port))[1].close()
        except OSError:
            await asyncio.sleep(0)
        else:
            return port, running, stop


async def test_forwards_keeps_and_lets_expire() -> None:
    clock = ManualClock()
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream:
        port, running, stop = await _serve(upstream, clock)
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        await clock.advance(5)
        assert await ask(port, "HOST.test") == (NOERROR, [("192.0.2.7", 15)])
        assert upstream.asked == 1
        await clock.advance(15)
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        assert upstream.asked == 2
        stop.set()
        await running


async def test_an_alias_out_of_the_zone_comes_with_its_address() -> None:
    async with Upstream({"outside.test": (20, "192.0.2.8")}) as upstream:
        port, running, stop = await _serve(upstream, ManualClock())
        assert await ask(port, "alias.cluster.local") == (NOERROR, [("outside.test", 30), ("192.0.2.8", 20)])
        assert await ask(port, "none.cluster.local") == (NXDOMAIN, [])
        stop.set()
        await running


async def test_a_cut_answer_is_asked_again_over_tcp_and_served_over_tcp() -> None:
    async with Upstream({"big.test": (20, "192.0.2.9")}, cut=True) as upstream:
        port, running, stop = await _serve(upstream, ManualClock())
        assert await ask(port, "big.test") == (NOERROR, [("192.0.2.9", 20)])
        assert await ask_tcp(port, "big.test") == (NOERROR, [("192.0.2.9", 20)])
        stop.set()
        await running


async def test_nobody_to_ask_is_a_server_failure() -> None:
    async with Upstream({}) as upstream:
        pass
    port, running, stop = await _serve(upstream, ManualClock())
    assert await ask(port, "host.test") == (SERVFAIL, [])
    stop.set()
    await running


async def test_garbage_never_stops_the_server() -> None:
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream:
        port, running, stop = await _serve(upstream, ManualClock())
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port))
        for size in range(0, 300, 3):  # few enough for the socket: what the kernel drops proves nothing
            transport.sendto(bytes((size * 7 + index * 13) % 256 for index in range(size)))
        transport.close()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(struct.pack("!H", 65535) + b"\xff" * 65535)
        await writer.drain()
        writer.close()
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        stop.set()
        await running
