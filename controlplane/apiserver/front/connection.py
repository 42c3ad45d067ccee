"""Clients' connections, and what of a request ends with its connection: a read or a watch does, a write does not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from aiohttp import web


class _InPlace:
    """The event loop, as aiohttp's loop over the requests of a connection is shown it: a task made there, of which it
    makes one for each request and waits for it at once, is the work itself. Two turns of the loop less and a tenth of
    what a GET takes. Later Pythons' tasks begin at once, by another call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.create_future, self.time = loop.create_future, loop.time

    def create_task(self, work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        return work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Connection(web.RequestHandler):
    """`ending`: the task that serves a request whose answer is for nobody once the client has gone. aiohttp's own
    cancellation would end every request, so that each write needed a second task to be safe in."""

    __slots__ = ("ending",)

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self.ending: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Serve requests, one after the other. All are served by this task: what one sets in its context, it resets."""
        if sys.version_info < (3, 12):
            self._loop = cast("asyncio.AbstractEventLoop", _InPlace(self._loop))
        await super().start()

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
