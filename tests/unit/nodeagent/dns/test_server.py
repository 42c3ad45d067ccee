"""The server on loopback sockets, and another server behind it that it asks."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from apimachinery.cache.lister import Lister
from apimachinery.kit.clock import ManualClock
from nodeagent.dns import forward, message
from nodeagent.dns.block import Chain
from nodeagent.dns.cache import AnswerCache
from nodeagent.dns.corefile import Block, parse
from nodeagent.dns.doors import Doors
from nodeagent.dns.forward import Forwarder
from nodeagent.dns.hosts import HostsTable
from nodeagent.dns.indexes import BY_SERVICE, slice_service
from nodeagent.dns.message import CNAME, NOERROR, NXDOMAIN, PTR, REFUSED, SERVFAIL, A, Answer, Record
from nodeagent.dns.metrics import TALLIES
from nodeagent.dns.records import ClusterRecords
from nodeagent.dns.resolver import Resolver
from nodeagent.dns.server import MAX_CONNECTIONS, Server
from nodeagent.dns.settings import Kubernetes
from tests.unit.nodeagent.dns.upstream import Upstream, ask, ask_tcp, free_port


class AliasRecords(ClusterRecords):
    """A zone with one alias that leads out of it, and one name with three addresses."""

    def __init__(self) -> None:
        self.zone = ("cluster", "local")
        self.asked = 0

    def answer(self, name: message.Name, qtype: int) -> Answer:
        self.asked += 1
        if name[0] == "alias":
            return Answer(NOERROR, (Record(name, CNAME, 30, ("outside", "test")),))
        if name[0] == "three":
            return Answer(NOERROR, tuple(Record(name, A, 30, message.a(f"192.0.2.{number}")) for number in (1, 2, 3)))
        return Answer(NXDOMAIN)


CLUSTER = Kubernetes((("cluster", "local"),))


def _chain(block: Block, clock: ManualClock, clusters: tuple[ClusterRecords, ...] = ()) -> Chain:
    return Chain(
        replace(block, kubernetes=CLUSTER) if clusters else block,
        clusters=clusters,
        hosts=HostsTable(block.hosts, clock) if block.hosts else None,
        cache=AnswerCache(block.cache, clock) if block.cache else None,
        forwarders=[Forwarder(forward, clock) for forward in block.forwards],
    )


@asynccontextmanager
async def serve(text: str, clock: ManualClock, *clusters: ClusterRecords) -> AsyncIterator[tuple[int, Server]]:
    """A server with this Corefile on a port of loopback; `clusters` in its first block."""
    blocks = parse(text).blocks
    chains = [_chain(block, clock, clusters if not number else ()) for number, block in enumerate(blocks)]
    port = free_port()
    server = Server(Resolver(chains, 53, clock), "127.0.0.1", port)
    await server.open()
    try:
        yield port, server
    finally:
        server.close()


def plain(upstream: Upstream, more: str = "cache 60") -> str:
    return f". {{\n forward . 127.0.0.1:{upstream.port}\n{more}\n}}\n"


async def test_forwards_keeps_and_lets_expire() -> None:
    clock = ManualClock()
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream, serve(plain(upstream), clock) as (port, _):
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        await clock.advance(5)
        assert await ask(port, "HOST.test") == (NOERROR, [("192.0.2.7", 15)])
        assert upstream.asked == 1
        await clock.advance(15)
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        assert upstream.asked == 2


@pytest.mark.parametrize("options", ["", " {\n disable success\n}"], ids=["kept", "not kept"])
async def test_nobody_is_told_a_longer_life_than_the_cache_has(options: str) -> None:
    """CoreDNS bounds the first answer as well: with `cache 30` no client keeps one for the day that its zone says."""
    names = {"long.test": (86400, "192.0.2.7"), "short.test": (0, "192.0.2.8")}
    async with (
        Upstream(names) as upstream,
        serve(plain(upstream, f"cache 30{options}"), ManualClock()) as (port, _),
    ):
        for _ in range(2):
            assert await ask(port, "long.test") == (NOERROR, [("192.0.2.7", 30)])
            assert await ask(port, "short.test") == (NOERROR, [("192.0.2.8", 5)])


async def test_a_denial_is_kept_for_as_long_as_its_soa_says() -> None:
    clock = ManualClock()
    async with Upstream({}) as upstream, serve(plain(upstream, "cache 3600"), clock) as (port, _):
        for _ in range(3):
            assert await ask(port, "none.test") == (NXDOMAIN, [])
        upstream.names["none.test"] = (20, "192.0.2.7")
        await clock.advance(59)
        assert await ask(port, "none.test") == (NXDOMAIN, [])
        assert upstream.asked == 1
        await clock.advance(1)
        assert await ask(port, "none.test") == (NOERROR, [("192.0.2.7", 20)])


async def test_an_expired_answer_is_given_while_it_is_asked_anew() -> None:
    clock = ManualClock()
    text = "cache 3600 {\n serve_stale 1h\n}"
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream, serve(plain(upstream, text), clock) as (port, _):
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        upstream.mute = True
        await clock.advance(100)
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 0)])
        await clock.advance(3600)
        upstream.mute = False
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])


async def test_a_popular_answer_is_asked_anew_before_it_expires() -> None:
    clock = ManualClock()
    text = "cache 3600 {\n prefetch 2 1m 50%\n}"
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream, serve(plain(upstream, text), clock) as (port, _):
        for _ in range(3):
            await ask(port, "host.test")
        assert upstream.asked == 1
        await clock.advance(12)
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 8)])
        async with asyncio.timeout(20):
            while (await ask(port, "host.test"))[1] != [("192.0.2.7", 20)]:
                await asyncio.sleep(0)
        assert upstream.asked == 2


async def test_the_next_server_is_asked_and_one_that_fails_is_down() -> None:
    clock = ManualClock()
    async with Upstream({}) as gone:
        pass
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream:
        text = f". {{\n forward . 127.0.0.1:{gone.port} 127.0.0.1:{upstream.port} {{\n policy sequential\n }}\n}}\n"
        async with serve(text, clock) as (port, _):
            assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
            for _ in range(3):
                await clock.advance(0.5)
            assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])


async def test_a_lost_datagram_is_sent_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """CoreDNS asks for as long as there is time; with a single server, a lost packet was a name without an answer."""
    monkeypatch.setattr(forward, "TIMEOUT", 0.05)
    monkeypatch.setattr(forward, "DEADLINE", 1.0)
    async with (
        Upstream({"host.test": (20, "192.0.2.7")}) as upstream,
        serve(plain(upstream, "errors"), ManualClock()) as (port, _),
    ):
        upstream.mute = True
        asking = asyncio.ensure_future(ask(port, "host.test"))
        while not upstream.asked:
            await asyncio.sleep(0)
        upstream.mute = False
        assert await asking == (NOERROR, [("192.0.2.7", 20)])
        upstream.mute = True
        assert await ask(port, "host.test") == (SERVFAIL, [])
        assert upstream.asked > 3
    told = re.compile(rf"2 host\.test\. A: read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:{upstream.port}: i/o timeout")
    assert any(told.fullmatch(record.getMessage()) for record in caplog.records)


async def test_stub_domains_go_to_their_own_server() -> None:
    clock = ManualClock()
    async with Upstream({"a.stub.test": (9, "192.0.2.1")}) as stub, Upstream({"a.test": (9, "192.0.2.2")}) as other:
        text = plain(other) + f"stub.test {{\n forward . 127.0.0.1:{stub.port}\n}}\n"
        async with serve(text, clock) as (port, _):
            assert await ask(port, "a.stub.test") == (NOERROR, [("192.0.2.1", 9)])
            assert await ask(port, "a.test") == (NOERROR, [("192.0.2.2", 9)])
            assert (stub.asked, other.asked) == (1, 1)
    async with serve("only.test {\n hosts {\n 192.0.2.9 a.only.test\n}\n}\n", clock) as (port, _):
        assert await ask(port, "a.only.test") == (NOERROR, [("192.0.2.9", 3600)])
        assert await ask(port, "b.only.test") == (SERVFAIL, [])
        assert await ask(port, "elsewhere.test") == (REFUSED, [])


async def test_hosts_and_rewrite() -> None:
    clock = ManualClock()
    more = """
    hosts {
        192.0.2.33 inline.test
        fallthrough
    }
    rewrite name exact old.test host.test
    rewrite name suffix .former.test .test answer auto
    rewrite name regex (.*)\\.rx\\.test {1}.test answer name (.*)\\.test {1}.rx.test
    """
    async with Upstream({"host.test": (20, "192.0.2.7")}) as upstream, serve(plain(upstream, more), clock) as (port, _):
        assert await ask(port, "inline.test") == (NOERROR, [("192.0.2.33", 3600)])
        for name in ("host.test", "old.test", "host.former.test", "host.rx.test"):
            assert await ask(port, name) == (NOERROR, [("192.0.2.7", 20)])
        assert await ask(port, "none.former.test") == (NXDOMAIN, [])


async def test_a_hosts_file_is_read_again(tmp_path: Path) -> None:
    clock = ManualClock()
    file = tmp_path / "hosts"
    file.write_text("192.0.2.1 a.test # one\nnonsense b.test\n")
    async with serve(f". {{\n hosts {file} {{\n reload 5s\n }}\n}}\n", clock) as (port, _):
        assert await ask(port, "a.test") == (NOERROR, [("192.0.2.1", 3600)])
        assert await ask(port, "b.test") == (SERVFAIL, [])
        file.write_text("192.0.2.22 a.test\n")
        await clock.advance(5)
        assert await ask(port, "a.test") == (NOERROR, [("192.0.2.22", 3600)])


HOSTS = """
test 10.in-addr.arpa {
    hosts {
        10.0.0.1 a.test elsewhere.example
        ::ffff:10.0.0.2 a.test *.wild.test
        fd00::1 a.test
        nonsense
    }
}
. {
    forward . 127.0.0.1:PORT
    hosts FILE example {
        10.0.0.1 inline.example
        fallthrough
    }
}
"""


async def test_hosts_as_in_coredns(tmp_path: Path) -> None:
    """Every type of a name that has an address is answered here; reverse names whatever zones the directive has."""
    file = tmp_path / "hosts"
    file.write_text("192.0.2.1 a.example b.other\n10.0.0.1 first.example\n")
    clock = ManualClock()
    async with Upstream({}) as upstream:
        text = HOSTS.replace("PORT", str(upstream.port)).replace("FILE", str(file))
        async with serve(text, clock) as (port, _):
            assert await ask(port, "a.test") == (NOERROR, [("10.0.0.1", 3600), ("10.0.0.2", 3600)])
            for qtype in (message.MX, message.SRV, message.ANY, 65):
                assert await ask(port, "a.test", qtype) == (NOERROR, [])
                assert await ask(port, "none.test", qtype) == (SERVFAIL, [])
                assert await ask(port, "a.example", qtype) == (NOERROR, [])
                assert upstream.asked == 0
            assert await ask(port, "x.wild.test") == (SERVFAIL, [])
            assert await ask(port, "1.0.0.10.in-addr.arpa", PTR) == (NOERROR, [("a.test", 3600)])
            assert await ask(port, "1.2.0.192.in-addr.arpa", PTR) == (NOERROR, [("a.example", 3600)])
            assert upstream.asked == 0
            assert await ask(port, "b.other") == (NXDOMAIN, [])
            assert await ask(port, "none.example", message.MX) == (NXDOMAIN, [])
            assert upstream.asked == 2
            file.unlink()
            await clock.advance(60)
            assert await ask(port, "a.example") == (NOERROR, [("192.0.2.1", 3600)])


async def test_known_answers_are_not_computed_again_until_something_changes() -> None:
    clock, records = ManualClock(), AliasRecords()
    async with serve(". {\n loadbalance\n}\n", clock, records) as (port, server):
        orders = {tuple((await ask(port, "three.cluster.local"))[1]) for _ in range(60)}
        assert {frozenset(one) for one in orders} == {frozenset((f"192.0.2.{number}", 30) for number in (1, 2, 3))}
        assert len(orders) > 1
        assert records.asked == 1
        server.forget()
        await ask(port, "three.cluster.local")
        assert records.asked == 2
    counted = [
        sample.value
        for family in TALLIES.collect()
        for sample in family.samples
        if sample.name == "coredns_dns_requests_total" and sample.labels["type"] == "A"
    ]
    assert sum(counted) >= 61


async def test_who_asks_for_signatures_is_counted() -> None:
    def count() -> float:
        samples = [sample for family in TALLIES.collect() for sample in family.samples]
        return sum(one.value for one in samples if one.name == "coredns_dns_do_requests_total")

    before = count()
    async with serve(". {\n loadbalance\n}\n", ManualClock(), AliasRecords()) as (port, _):
        for do in (True, False, True):
            await ask(port, "three.cluster.local", do=do)
    assert count() == before + 2


async def test_every_question_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock, records = ManualClock(), AliasRecords()
    caplog.set_level("INFO")
    async with serve(". {\n log\n errors\n}\n", clock, records) as (port, _):
        for _ in range(2):
            await ask(port, "three.cluster.local")
    lines = [record.getMessage() for record in caplog.records if '"A IN three' in record.getMessage()]
    assert len(lines) == 2
    assert ' - 99 "A IN three.cluster.local. udp 48 false 1232" NOERROR qr,aa,rd,ra 96 0.0' in lines[0]


async def test_an_alias_out_of_the_zone_comes_with_its_address() -> None:
    clock = ManualClock()
    async with (
        Upstream({"outside.test": (20, "192.0.2.8")}) as upstream,
        serve(plain(upstream), clock, AliasRecords()) as (port, _),
    ):
        for _ in range(2):
            assert await ask(port, "alias.cluster.local") == (NOERROR, [("outside.test", 30), ("192.0.2.8", 20)])
        assert upstream.asked == 1
        assert await ask(port, "none.cluster.local") == (NXDOMAIN, [])


async def test_aliases_that_lead_in_a_circle_or_nowhere_are_no_records(caplog: pytest.LogCaptureFixture) -> None:
    """An ExternalName Service is anybody's who may write one: it must not keep the server busy, nor fill its log."""
    services, namespaces, slices = Lister(), Lister(), Lister()
    namespaces.put({"metadata": {"name": "default"}})
    slices.add_index(BY_SERVICE, slice_service)
    chain = {f"hop{number}": f"hop{number + 1}" for number in range(10)}
    for name, to in {"self": "self", "a": "b", "b": "a", "lost": "none", **chain}.items():
        spec = {"type": "ExternalName", "externalName": f"{to}.default.svc.cluster.local"}
        services.put({"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    services.put({"metadata": {"name": "hop10", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.9"}})
    records = ClusterRecords(("cluster", "local"), services, slices, namespaces, settings=CLUSTER, serial=lambda: 1)
    async with serve(". {\n errors\n}\n", ManualClock(), records) as (port, _):
        for name in ("self", "a", "lost", "hop0"):
            assert await ask(port, f"{name}.default.svc.cluster.local") == (NOERROR, [])
        _, found = await ask(port, "hop2.default.svc.cluster.local")
        assert len(found) == 9
        assert found[-1] == ("10.96.0.9", 5)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_cut_answer_is_asked_again_over_tcp_and_served_over_tcp() -> None:
    async with (
        Upstream({"big.test": (20, "192.0.2.9")}, cut=True) as upstream,
        serve(plain(upstream), ManualClock()) as (port, _),
    ):
        assert await ask(port, "big.test") == (NOERROR, [("192.0.2.9", 20)])
        assert await ask_tcp(port, "big.test") == (NOERROR, [("192.0.2.9", 20)])


async def test_nobody_to_ask_is_a_server_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with Upstream({}) as upstream:
        pass
    async with serve(plain(upstream, "errors"), ManualClock()) as (port, _):
        assert await ask(port, "host.test") == (SERVFAIL, [])
    ends = rf"127\.0\.0\.1:\d+->127\.0\.0\.1:{upstream.port}"
    told = re.compile(rf"2 host\.test\. A: read udp {ends}: read: connection refused")
    assert any(told.fullmatch(record.getMessage()) for record in caplog.records)


async def test_nobody_to_connect_to_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async with Upstream({}) as upstream:
        pass
    text = f". {{\n errors\n forward . 127.0.0.1:{upstream.port} {{\n force_tcp\n }}\n}}\n"
    async with serve(text, ManualClock()) as (port, _):
        assert await ask(port, "host.test") == (SERVFAIL, [])
    told = f"2 host.test. A: dial tcp 127.0.0.1:{upstream.port}: connect: connection refused"
    assert told in [record.getMessage() for record in caplog.records]


async def test_garbage_never_stops_the_server() -> None:
    async with (
        Upstream({"host.test": (20, "192.0.2.7")}) as upstream,
        serve(plain(upstream), ManualClock()) as (port, _),
    ):
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


async def test_streams_that_say_nothing_keep_nobody_from_an_answer() -> None:
    """As many as there may be, silent or with half a question: datagrams go on, and streams once those are gone."""
    async with (
        Upstream({"host.test": (20, "192.0.2.7")}) as upstream,
        serve(plain(upstream), ManualClock()) as (port, _),
    ):
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        for _, writer in streams[::2]:
            writer.write(b"\0\x40half a question")
        reader, refused = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        assert await ask(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
        for writer in (refused, *(writer for _, writer in streams)):
            writer.close()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await ask_tcp(port, "host.test") == (NOERROR, [("192.0.2.7", 20)])
                    return
                except (asyncio.IncompleteReadError, ConnectionError):
                    await asyncio.sleep(0)


async def test_who_is_not_ready_is_told_in_coredns_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    port = free_port()
    doors = Doors("127.0.0.1", lambda: ["other", "kubernetes"])
    await doors.open(parse(f". {{\n ready 127.0.0.1:{port}\n}}\n"))
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as client:
            while True:
                try:
                    async with client.get(f"http://127.0.0.1:{port}/ready") as answer:
                        assert (answer.status, await answer.text()) == (503, "kubernetes,other")
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0)
    finally:
        await doors.close()
    assert ("plugin/ready", 'Still waiting on: "kubernetes,other"') in [
        (record.name, record.getMessage()) for record in caplog.records
    ]
