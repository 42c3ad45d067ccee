"""One gRPC channel to a unix socket, and calls with a deadline on it."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio

from .errors import RuntimeCallError, error_for

Answer = TypeVar("Answer")

# Image lists and container lists of a full node exceed gRPC's default of 4 MiB; upstream kubelet allows as much.
_MAX_MESSAGE = 16 * 1024 * 1024

_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    # A runtime that comes back is to be seen at once: the default backs off to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)


class Observe(Protocol):
    """Told of every call: its method, how long it took, and whether it failed."""

    def __call__(self, method: str, seconds: float, *, failed: bool) -> None: ...


class Channel:
    """A channel to `endpoint` (`unix:///run/containerd/containerd.sock` or a bare path). Connects on first use."""

    def __init__(self, endpoint: str, observe: Observe | None = None) -> None:
        self._observe = observe
        self._path = endpoint.removeprefix("unix://")
        self.grpc: grpc.aio.Channel = grpc.aio.insecure_channel(f"unix://{self._path}", options=_OPTIONS)

    async def close(self) -> None:
        await self.grpc.close()

    async def call(
        self, rpc: Any, request: Any, timeout: float | None, metadata: Sequence[tuple[str, str]] = ()
    ) -> Any:
        """Call `rpc` (a stub's method). timeout: seconds, None for none. Raises RuntimeCallError and its kinds."""
        began = time.monotonic()
        failed = True
        try:
            answer = await rpc(request, timeout=timeout, metadata=metadata)
            failed = False
            return answer
        except grpc.aio.AioRpcError as error:
            raise self._told(rpc, error) from None
        finally:
            if self._observe is not None:
                self._observe(_method(rpc), time.monotonic() - began, failed=failed)

    async def stream(self, rpc: Any, request: Any) -> AsyncIterator[Any]:
        """Yield what a server-streaming `rpc` sends until it or the caller ends it. Raises as `call` does."""
        stream = rpc(request)
        try:
            async for message in stream:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._told(rpc, error) from None
        finally:
            stream.cancel()

    def _told(self, rpc: Any, error: grpc.aio.AioRpcError) -> RuntimeCallError:
        details = error.details() or ""
        if details.startswith("failed to connect to all addresses"):
            details = _dialed(self._path) or details
        return error_for(_method(rpc), error.code().name, details)


def _dialed(path: str) -> str:
    """Why nobody is reached there, as Go's gRPC words it, which is what people look for; "" when somebody is."""
    with socket.socket(socket.AF_UNIX) as tried:
        tried.setblocking(False)
        try:
            tried.connect(path)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            return f'connection error: desc = "transport: Error while dialing: dial unix {path}: connect: {why}"'
    return ""


def _method(rpc: Any) -> str:
    name: bytes = getattr(rpc, "_method", b"")
    return name.decode().rpartition("/")[2]
