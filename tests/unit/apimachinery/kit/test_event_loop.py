"""A descriptor that the loop has closed is nobody's any more."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import Iterator

import pytest

from apimachinery.kit.event_loop import Loop

AT_ONCE = struct.pack("ii", 1, 0)


async def _reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()


async def _nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=Loop) as runner:
        yield runner


async def _connected(server: asyncio.Server) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, server.sockets[0].getsockname())
    return sock


async def _handshake(sock: socket.socket) -> None:
    loop, context = asyncio.get_running_loop(), ssl.create_default_context()
    await loop.create_connection(asyncio.Protocol, sock=sock, ssl=context, server_hostname="x")


def test_a_reset_handshake_leaves_the_socket_without_a_descriptor(runner: asyncio.Runner) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_reset, "127.0.0.1", 0) as server:
            for _ in range(20):
                sock = await _connected(server)
                while not select.select([sock], [], [], 0)[0]:  # until it is reset, before any byte of TLS
                    await asyncio.sleep(0)
                with pytest.raises(ConnectionError):
                    await _handshake(sock)
                assert sock.fileno() == -1

    runner.run(main())


def test_a_connection_that_is_broken_off_leaves_the_socket_without_a_descriptor(runner: asyncio.Runner) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_nothing, "127.0.0.1", 0) as server:
            sock = await _connected(server)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await _handshake(sock)
            assert sock.fileno() == -1

    runner.run(main())


def test_a_connection_is_used_and_closed_as_ever(runner: asyncio.Runner) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_nothing, "127.0.0.1", 0) as server:
            sock = await _connected(server)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)
            assert transport.get_extra_info("peername") == server.sockets[0].getsockname()
            transport.close()
            await asyncio.sleep(0)
            assert transport.is_closing()

    runner.run(main())
