"""What a server may do to a connection, said by one that follows a script; the usual way is tested with a real etcd."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from apimachinery.kit.hpack import literal
from controlplane.apiserver.storage.grpc_call import Code, RpcError
from controlplane.apiserver.storage.grpc_channel import Channel

Script = Callable[["Peer"], Awaitable[None]]
PREFACE = 24
OK = b"\x88" + literal("content-type", "application/grpc")
GOOD = literal("grpc-status", "0")


def frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 0xFF, kind, flags, number) + payload


def message(content: bytes) -> bytes:
    return b"\0" + len(content).to_bytes(4, "big") + content


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def frame(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and payload of the next frame."""
        high, low, kind, flags, number = struct.unpack(">HBBBL", await self._reader.readexactly(9))
        return kind, flags, number, await self._reader.readexactly(high << 8 | low)

    async def request(self) -> tuple[int, bytes]:
        """The stream and the bytes of the next request that is complete."""
        data = b""
        while True:
            kind, flags, number, payload = await self.frame()
            if kind == 0:
                data += payload
                if flags & 1:
                    return number, data

    def answer(self, number: int, content: bytes = b"fine") -> None:
        self.writer.write(frame(1, 4, number, OK) + frame(0, 0, number, message(content)) + frame(1, 5, number, GOOD))


@asynccontextmanager
async def served(*scripts: Script) -> AsyncIterator[Channel]:
    """A channel to a server that follows a script on each connection, in turn."""
    left = list(scripts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(PREFACE)
        writer.write(frame(4, 0, 0))
        await left.pop(0)(Peer(reader, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    channel = Channel("127.0.0.1", server.sockets[0].getsockname()[1], None)
    yield channel
    await channel.close()
    server.close()


async def ask(channel: Channel, content: bytes = b"?", timeout: float = 10.0) -> bytes:
    return await channel.unary("/s/m", content, timeout)


async def fails(channel: Channel, timeout: float = 10.0) -> RpcError:
    with pytest.raises(RpcError) as failed:
        await ask(channel, timeout=timeout)
    return failed.value


async def test_an_answer_in_the_smallest_pieces() -> None:
    async def script(peer: Peer) -> None:
        number, data = await peer.request()
        assert data == message(b"?")
        body = message(b"long" * 9)
        frames = frame(1, 0, number, OK[:3]) + frame(9, 4, number, OK[3:])
        frames += b"".join(frame(0, 0, number, body[at : at + 1]) for at in range(len(body)))
        frames += frame(0, 8, number, b"\x02" + b"??") + frame(1, 5 | 8 | 32, number, b"\x01\0\0\0\0\0" + GOOD + b"?")
        for at in range(len(frames)):
            peer.writer.write(frames[at : at + 1])
            await peer.writer.drain()
        await peer.request()

    async with served(script) as channel:
        assert await ask(channel) == b"long" * 9


async def test_a_request_waits_for_room() -> None:
    async def script(peer: Peer) -> None:
        data = b""
        while len(data) < 65_535:
            kind, flags, number, payload = await peer.frame()
            data += payload if kind == 0 else b""
            assert not (kind == 0 and flags & 1)
        peer.writer.write(frame(8, 0, 0, struct.pack(">L", 200_000)))
        peer.writer.write(frame(4, 0, 0, struct.pack(">HL", 4, 80_000)))
        while len(data) < 80_000:
            kind, _, number, payload = await peer.frame()
            data += payload if kind == 0 else b""
        peer.writer.write(frame(8, 0, number, struct.pack(">L", 200_000)))
        _, rest = await peer.request()
        assert data + rest == message(b"x" * 100_000)
        peer.answer(number)
        await peer.request()

    async with served(script) as channel:
        assert await ask(channel, b"x" * 100_000) == b"fine"


async def test_an_error_and_its_words() -> None:
    async def script(peer: Peer) -> None:
        number, _ = await peer.request()
        peer.writer.write(
            frame(1, 5, number, OK + literal("grpc-status", "11") + literal("grpc-message", "etcd: 100%25 %C3%A9"))
        )
        await peer.request()

    async with served(script) as channel:
        error = await fails(channel)
    assert (error.code, error.details, error.processed) == (Code.OUT_OF_RANGE, "etcd: 100% é", True)


async def test_refused_streams_and_those_after_a_goaway_never_began() -> None:
    async def first(peer: Peer) -> None:
        number, _ = await peer.request()
        peer.writer.write(frame(3, 0, number, struct.pack(">L", 7)))
        number, _ = await peer.request()
        peer.writer.write(frame(7, 0, 0, struct.pack(">LL", number - 2, 0)))
        with pytest.raises(asyncio.IncompleteReadError):
            await peer.request()

    async def second(peer: Peer) -> None:
        number, _ = await peer.request()
        peer.answer(number)
        await peer.request()

    async with served(first, second) as channel:
        assert not (await fails(channel)).processed
        assert not (await fails(channel)).processed
        assert await ask(channel) == b"fine", "on a new connection"


async def test_a_lost_connection_leaves_the_outcome_open() -> None:
    async def first(peer: Peer) -> None:
        await peer.request()

    async def second(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(frame(1, 4, 1, b"\xff\xff\xff\xff\xff"))  # no headers
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.request()

    async def third(peer: Peer) -> None:
        number, _ = await peer.request()
        peer.writer.write(frame(1, 4, number, OK) + frame(0, 1, number, message(b"no status")))
        await peer.request()

    async with served(first, second, third) as channel:
        lost, broken = await fails(channel), await fails(channel)
        assert (lost.code, lost.processed) == (broken.code, broken.processed) == (Code.UNAVAILABLE, True)
        assert (await fails(channel)).code is Code.UNKNOWN


async def test_a_call_that_takes_too_long_is_told_to_the_server() -> None:
    cancelled = asyncio.Event()

    async def script(peer: Peer) -> None:
        number, _ = await peer.request()
        assert await peer.frame() == (4, 1, 0, b"")
        assert await peer.frame() == (3, 0, number, struct.pack(">L", 8))
        cancelled.set()
        await peer.request()

    async with served(script) as channel:
        error = await fails(channel, timeout=0.05)
        assert (error.code, error.processed) == (Code.DEADLINE_EXCEEDED, True)
        async with asyncio.timeout(10):
            await cancelled.wait()


async def test_a_stream_and_a_ping() -> None:
    async def script(peer: Peer) -> None:
        kinds = []
        while 0 not in kinds:
            kind, flags, number, _ = await peer.frame()
            kinds.append(kind)
        assert not flags & 1, "the call goes on"
        peer.writer.write(frame(1, 4, number, OK) + frame(0, 0, number, message(b"1") + message(b"2")))
        peer.writer.write(frame(6, 0, 0, b"12345678"))
        while kind != 6:
            kind, flags, _, payload = await peer.frame()
        assert (flags, payload) == (1, b"12345678")
        peer.writer.write(frame(0, 0, number, message(b"3")) + frame(1, 5, number, GOOD))
        await peer.request()

    async with served(script) as channel:
        assert [each async for each in channel.stream("/s/m", b"?", {"hasleader": "true"})] == [b"1", b"2", b"3"]


async def test_nobody_listens() -> None:
    channel = Channel("127.0.0.1", 1, None)
    failed = await asyncio.gather(fails(channel), fails(channel))
    assert [(each.code, each.processed) for each in failed] == [(Code.UNAVAILABLE, False)] * 2
