"""Clients' connections, and what of a request ends with its connection: a read or a watch does, a write does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web


class Connection(web.RequestHandler):
    """`ending`: the task that serves a request whose answer is for nobody once the client has gone. aiohttp's own
    cancellation would end every request, so that each write needed a second task to be safe in."""

    __slots__ = ("ending",)

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self.ending: asyncio.Task[Any] | None = None

    def connection_lost(self, error: BaseException | None) -> None:
        super().connection_lost(error)
        if self.ending is not None:
            self.ending.cancel()


class Connections(web.Server):
    """Makes a Connection for each that is accepted. options: of aiohttp's request handler."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any) -> None:
        super().__init__(handler, **options)
        self._options = options

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)
