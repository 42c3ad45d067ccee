"""Clients' connections, and what of a request ends with its connection: a read or a watch does, a write does not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

_MALFORMED = "400 Bad Request"
_NO_HOST = f"{_MALFORMED}: missing required Host header"
_TOO_LARGE = "431 Request Header Fields Too Large"
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
ASKED: web.RequestKey[bool] = web.RequestKey("asked for its body", bool)
"""Of a request that waits for that (`Expect: 100-continue`)."""


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

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP is told in the words of Go's server."""
        response = super().handle_error(request, status, exc, message)
        if isinstance(exc, HttpProcessingError):
            request._version = HttpVersion11  # that of a request which was not understood is 1.0
            if isinstance(exc, LineTooLong):
                return malformed(_TOO_LARGE, 431)
            response = malformed(_NO_HOST if "Missing 'Host'" in exc.message else _MALFORMED)
        return response

    def connection_lost(self, error: BaseException | None) -> None:
        super().connection_lost(error)
        if self.ending is not None:
            self.ending.cancel()


Beginning = Callable[[web.BaseRequest, web.StreamResponse], None]
"""Hears of an answer whose headers are about to be sent, and may change them."""


class _Request(web.BaseRequest):
    """A request whose answer does not name the program that gives it, as a kube-apiserver's does not."""

    beginning: Beginning

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        self.beginning(self, response)
        # By identity: what a proxied backend says of itself is the backend's, and stays, be it the same words.
        if response.headers.get("Server") is SERVER_SOFTWARE:
            del response.headers["Server"]


class Connections(web.Server):
    """Makes a Connection for each that is accepted. beginning: hears of all answers but plain ones (`Answer.plain`).
    options: of aiohttp's request handler."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        beginning: Beginning = lambda request, response: None,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._options = options
        self._kind = type("Request", (_Request,), {"beginning": staticmethod(beginning)})

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        made: web.BaseRequest = self._kind(message, payload, protocol, writer, task, self._loop)
        return made

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)


def malformed(text: str = _MALFORMED, code: int = 400) -> web.Response:
    """What Go's server says of a request that is none, before anybody is asked. The connection ends with it."""
    response = web.Response(text=text, status=code)
    response.force_close()
    return response


def ask_for_body(request: web.BaseRequest) -> None:
    """Tell a client to go on that waits to be told before it sends the body, as curl does, for a second, with a large
    one. Upstream asks when the body is first read: whoever is refused before does not send it."""
    if request.headers["Expect"].lower() == "100-continue" and request.version >= HttpVersion11:
        request[ASKED] = True
        if request.can_read_body and request.transport is not None:
            request.transport.write(_GO_ON)
