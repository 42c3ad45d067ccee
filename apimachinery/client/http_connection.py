"""One connection of HTTP/1.1, and what comes back on it: a whole answer, or a stream of lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from apimachinery.kit import net_words

from .http_answer import Answer, BadAnswer, Lines, unpacked

UNREAD_MAX = 4 * 1024 * 1024  # bytes of a stream that nobody has taken yet; beyond, nothing more is read


class Exchange:
    """A request that is under way on a connection: takes what comes back."""

    def __init__(self) -> None:
        self.answer = Answer()

    def received(self, data: bytes) -> None:
        """Take bytes. Raises BadAnswer."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """Nothing more will come."""
        raise NotImplementedError


class Whole(Exchange):
    """Waits for all of an answer. done: its status and its body."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.done: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._pieces: list[bytes] = []

    def received(self, data: bytes) -> None:
        answer = self.answer
        if piece := answer.feed(data):
            self._pieces.append(piece)
        if answer.ended and not self.done.done():
            assert answer.head is not None
            body = b"".join(self._pieces)
            self.done.set_result((answer.head.status, unpacked(body) if answer.head.packed else body))

    def failed(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def expire(self) -> None:
        """The time that the caller gave is over."""
        late = net_words.HEADERS_LATE if self.answer.head is None else net_words.BODY_LATE
        self.failed(TimeoutError(late))


class Stream(Exchange):
    """An answer that is read line by line while it comes.

    silence: seconds without a byte after which the server is taken for dead. line_max: bytes that a line may have.
    """

    def __init__(self, connection: Connection, silence: float, line_max: int) -> None:
        super().__init__()
        self._connection, self._silence = connection, silence
        self._loop = asyncio.get_running_loop()
        self._lines = Lines(line_max)
        self._ready: list[bytes] = []
        self._unread = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(silence, self._look)

    async def status(self) -> int:
        """The answer's code, once it is there. Raises OSError or BadAnswer."""
        while self.answer.head is None:
            await self._more()
        return self.answer.head.status

    async def lines(self) -> list[bytes]:
        """The lines that have come since the last call, at least one; none at the end. Raises OSError or BadAnswer."""
        while not self._ready:
            if self.answer.ended:
                return []
            await self._more()
        lines, self._ready = self._ready, []
        if self._unread > UNREAD_MAX:
            self._connection.resume()
        self._unread = 0
        return lines

    def close(self) -> None:
        """Hear no more of it; a reader that is waiting is told so."""
        self._connection.close()
        self.failed(ConnectionAbortedError("the stream was closed"))

    def received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        found = self._lines.feed(self.answer.feed(data))
        if self.answer.ended:
            self._timer.cancel()
            found += self._lines.end()
        if found:
            self._ready += found
            self._unread += len(data)
            if self._unread > UNREAD_MAX:
                self._connection.pause()
        self._wake()

    def failed(self, error: Exception) -> None:
        self._timer.cancel()
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        await self._waiter

    def _look(self) -> None:
        left = self._heard + self._silence - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._connection.close()
            self.failed(TimeoutError(f"nothing was heard for {self._silence:g} s"))


class Connection(asyncio.Protocol):
    """One connection, which serves one request at a time. freed: called when it may serve another, lost: at its end."""

    def __init__(self, freed: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._freed, self._lost = freed, lost
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._ends = ""
        self.idle_since = 0.0
        self.used = False

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, exchange: Exchange) -> None:
        if self._transport is None:
            exchange.failed(ConnectionResetError("EOF"))
            return
        self._exchange = exchange
        self._transport.write(request)

    def close(self) -> None:
        """At once; what is under way hears no more."""
        self._exchange = None
        self.cut()

    def cut(self) -> None:
        """At once; what is under way fails."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        ends = [transport.get_extra_info(name) for name in ("sockname", "peername")]
        self._ends = "->".join(net_words.joined(*each[:2]) for each in ends if each)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.cut()  # nobody asked
            return
        try:
            exchange.received(data)
        except BadAnswer as error:
            self.close()
            exchange.failed(error)
            return
        if exchange.answer.ended:
            self._exchange = None
            self.used = True
            if exchange.answer.keeps:
                self._freed(self)
            else:
                self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        self._transport = None
        self._lost(self)
        if exchange is None:
            return
        try:
            exchange.answer.end()
            exchange.received(b"")
        except BadAnswer:
            begun = exchange.answer.head is not None
            words = net_words.broken(error, self._ends)
            exchange.failed(ConnectionResetError("unexpected EOF" if begun and words == "EOF" else words))
