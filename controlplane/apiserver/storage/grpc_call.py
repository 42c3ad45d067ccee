"""One gRPC call on an HTTP/2 connection, and what became of it (gRPC over HTTP/2, grpc/grpc PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from urllib.parse import unquote

_PREFIX = 5  # bytes before a message: whether it is compressed, and its length


class Code(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call that did not end well. processed: False when the server has certainly not begun with it."""

    def __init__(self, code: Code, details: str, *, processed: bool = True) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code, self.details, self.processed = code, details, processed


class Call:
    """The client's end of one stream. `window`: bytes it may send; `unsent`: what waits for the window."""

    __slots__ = (
        "_chunks",
        "_ended",
        "_have",
        "_messages",
        "_waiter",
        "error",
        "number",
        "received",
        "unsent",
        "window",
    )

    def __init__(self, number: int, window: int) -> None:
        self.number, self.window = number, window
        self.unsent = b""
        self.received = 0  # bytes since the server was last given room
        self.error: RpcError | None = None
        self._chunks: list[bytes] = []
        self._have = 0
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """The server has said its last word, or the call was lost."""
        return self._ended

    async def next(self) -> bytes | None:
        """The next message, None at the end. Raises RpcError after the messages that came before it. One reader."""
        while not self._messages:
            if self._ended:
                if self.error is not None:
                    raise self.error
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._messages.popleft()

    async def only(self) -> bytes:
        """The one message of an answer that is complete. Raises RpcError."""
        while not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.error is not None:
            raise self.error
        if len(self._messages) != 1:
            raise RpcError(Code.INTERNAL, f"{len(self._messages)} messages in the answer")
        return self._messages[0]

    def take(self, data: bytes) -> None:
        """The payload of a DATA frame."""
        if not self._chunks and int.from_bytes(data[:_PREFIX], "big") == len(data) - _PREFIX:
            # Nearly always: one frame, one message. The flag of compression would make the number far too large.
            self._messages.append(data[_PREFIX:])
            self._wake()
            return
        self._chunks.append(data)
        self._have += len(data)
        if len(self._chunks) > 1 and self._have < self._needed():
            return
        whole = b"".join(self._chunks)
        at, come = 0, False
        while len(whole) - at >= _PREFIX:
            end = at + _PREFIX + int.from_bytes(whole[at + 1 : at + _PREFIX], "big")
            if whole[at]:
                self.end(RpcError(Code.INTERNAL, "a compressed message, which was not asked for"))
                return
            if end > len(whole):
                break
            self._messages.append(whole[at + _PREFIX : end])
            at, come = end, True
        rest = whole[at:]
        self._chunks, self._have = ([rest], len(rest)) if rest else ([], 0)
        if come:
            self._wake()

    def _needed(self) -> int:
        """Bytes until the message is whole that the first chunk begins; its prefix may be cut, too."""
        head = b"".join(self._chunks[:2])[:_PREFIX] if len(self._chunks[0]) < _PREFIX else self._chunks[0]
        return _PREFIX + int.from_bytes(head[1:_PREFIX], "big") if len(head) >= _PREFIX else 0

    def finish(self, headers: Mapping[str, str]) -> None:
        """The headers that end the stream."""
        status = headers.get("grpc-status", "")
        if not status.isdecimal() or int(status) > Code.UNAUTHENTICATED:
            self.end(RpcError(Code.UNKNOWN, f"no status of gRPC, HTTP status {headers.get(':status')}"))
        elif status == "0":
            self.end(None)
        else:
            self.end(RpcError(Code(int(status)), unquote(headers.get("grpc-message", ""))))

    def end(self, error: RpcError | None) -> None:
        """No more will come. Idempotent."""
        if not self._ended:
            self._ended, self.error = True, error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
