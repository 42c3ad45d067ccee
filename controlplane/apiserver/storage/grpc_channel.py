"""gRPC calls to one endpoint, over one connection that is made when needed and made again when lost."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

from .grpc_call import Call, Code, RpcError
from .http2 import Http2Connection

# Seconds that a connection may take to be made: TLS on an emulated machine takes over a second.
CONNECT_TIMEOUT = 10.0
# Seconds for which nobody tries again after an attempt failed; until then calls fail as it did.
_RETRY_PERIOD = 0.1


class Channel:
    """Calls to host:port, with TLS when there is a context for it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._connection: Http2Connection | None = None
        self._connecting: asyncio.Task[Http2Connection] | None = None
        self._failed = float("-inf")
        self._failure = ""

    async def unary(self, path: str, message: bytes, timeout: float) -> bytes:
        """The answer to one message. timeout: seconds. Raises RpcError."""
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        call = connection.call(path, message, {}, ends=True)
        expiry = asyncio.get_running_loop().call_later(timeout, _expire, connection, call)
        try:
            return await call.only()
        except asyncio.CancelledError:
            connection.cancel(call)
            raise
        finally:
            expiry.cancel()

    async def stream(self, path: str, message: bytes, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The answers to one message, of a call that goes on until it is closed. Raises RpcError."""
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        call = connection.call(path, message, headers, ends=False)
        try:
            while (answer := await call.next()) is not None:
                yield answer
        finally:
            connection.cancel(call)

    async def close(self) -> None:
        """Ends the connection; calls under way fail."""
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError, RpcError):
                await self._connecting
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> Http2Connection:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._attempt())
            self._connecting.add_done_callback(self._attempted)
        return await asyncio.shield(self._connecting)

    def _attempted(self, attempt: asyncio.Task[Http2Connection]) -> None:
        self._connecting = None
        if not attempt.cancelled() and attempt.exception() is None:
            self._connection = attempt.result()

    async def _attempt(self) -> Http2Connection:
        loop = asyncio.get_running_loop()
        if loop.time() < self._failed + _RETRY_PERIOD:
            raise RpcError(Code.UNAVAILABLE, self._failure, processed=False)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._dial()
        except (OSError, TimeoutError) as error:
            self._failed = loop.time()
            self._failure = self._words(error)
            raise RpcError(Code.UNAVAILABLE, self._failure, processed=False) from error

    async def _dial(self) -> Http2Connection:
        """A new connection. Raises OSError."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "http" if self._tls is None else "https"
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Http2Connection(f"{host}:{self._port}", scheme), self._host, self._port, ssl=self._tls
        )
        return connection

    def _words(self, error: OSError | TimeoutError) -> str:
        """How a failed attempt is told."""
        return f"failed to connect: {error or 'timed out'}"


class UnixChannel(Channel):
    """Calls over a unix socket; `@name` is one without a file. Failures are told as Go's gRPC tells them."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", 0, None)
        self._path = path

    async def _dial(self) -> Http2Connection:
        path = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        _, connection = await asyncio.get_running_loop().create_unix_connection(
            lambda: Http2Connection(self._host, "http"), path
        )
        return connection

    def _words(self, error: OSError | TimeoutError) -> str:
        why = os.strerror(error.errno).lower() if error.errno else "i/o timeout"
        return f'connection error: desc = "transport: Error while dialing: dial unix {self._path}: connect: {why}"'


def _expire(connection: Http2Connection, call: Call) -> None:
    call.end(RpcError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))
    connection.cancel(call)
