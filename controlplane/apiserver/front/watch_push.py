"""Events written to a client's connection as they happen: no task wakes up, nothing is awaited."""

from __future__ import annotations

from asyncio import Transport

from aiohttp import web

from controlplane.apiserver.front.metering import Tally
from controlplane.apiserver.front.watch_lines import Lines
from controlplane.apiserver.registry.collection import Attributes
from controlplane.apiserver.storage.cache_watch import Pending

AT_ONCE = 64 * 1024
"""Bytes after which nothing more is written in one go, and that a connection may hold before the watch waits."""


class Pusher:
    """The sink of a watch whose answer is chunked; `transport` is the request's."""

    __slots__ = ("_lines", "_protocol", "_sent", "_transport")

    def __init__(self, request: web.BaseRequest, transport: Transport, lines: Lines, sent: Tally) -> None:
        self._protocol, self._transport, self._lines, self._sent = request.protocol, transport, lines, sent
        transport.set_write_buffer_limits(AT_ONCE)

    def __call__(self, pending: Pending[Attributes]) -> bool:
        """As cache_watch.Sink."""
        if self._transport.is_closing():
            pending.clear()
            return True
        if len(pending) == 1:
            count, data = 1, self._lines.chunk(pending.popleft())
        else:
            parts, size = [], 0
            while pending and size < AT_ONCE:
                part = self._lines.chunk(pending.popleft())
                parts.append(part)
                size += len(part)
            count, data = len(parts), b"".join(parts)
        self._transport.write(data)
        self._sent.add(count)
        return not self._protocol.writing_paused
