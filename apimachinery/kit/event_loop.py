"""The event loop of every daemon: uvloop's, which must not let a descriptor be closed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import socket
from typing import Any

import uvloop


class Loop(uvloop.Loop):
    """uvloop (0.23 and before) closes the descriptor of a connected socket that it was handed when the peer resets it
    or TLS fails, and leaves the `socket` believing that it has it. When that is collected, it closes whatever has got
    the number meanwhile: a client's connection, a file of SQLite, or the loop's own, which then aborts the process
    without a word. aiohttp hands over every one of its connections that way.
    """

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        sock: socket | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """As AbstractEventLoop's: (transport, protocol). `sock` is the loop's from now on, also when this raises."""
        try:
            made = await super().create_connection(protocol_factory, host, port, sock=sock, **options)
        except BaseException:
            if sock is not None:
                sock.detach()
            raise
        transport: Any = made[0]
        if sock is not None and transport.is_closing():
            sock.detach()
        return made
