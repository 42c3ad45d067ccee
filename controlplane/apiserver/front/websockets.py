"""WebSocket (RFC 6455): who asks for it, how it begins and how it ends. Watches, logs, exec and port-forward are served
over it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

from aiohttp import WSCloseCode, WSMsgType, web

from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import status
from controlplane.apiserver.audit.trail import begun
from controlplane.apiserver.authn import websocket_tokens

MESSAGE_MAX = 32 * 1024 * 1024
"""Bytes of one message; upstream's WebSocket library takes as many."""
_ENDED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the client asks to speak WebSocket on this connection."""
    return websocket_tokens.is_websocket(request.headers)


def has_origin(request: web.BaseRequest) -> bool:
    """Whether the client says what page it is, as browsers do; upstream's watches are refused to others."""
    origin = request.headers.get("Origin", "")
    return origin.startswith("/") or "://" in origin


def offered(request: web.BaseRequest) -> list[str]:
    """The subprotocols that the client speaks, the best first. One that holds a token is never chosen."""
    return websocket_tokens.without_token(request.headers.get("Sec-WebSocket-Protocol", ""))


async def accepted(request: web.BaseRequest, protocols: Iterable[str]) -> web.WebSocketResponse:
    """The connection after the handshake; the client's best of `protocols` is chosen, no extension ever.

    Raises ApiError 400 for a handshake that is none.
    """
    socket = web.WebSocketResponse(protocols=protocols, compress=False, max_msg_size=MESSAGE_MAX)
    try:
        await socket.prepare(request)
    except web.HTTPBadRequest as error:
        raise status.bad_request(error.text or error.reason) from None
    begun(request, socket.status)
    return socket


@contextlib.asynccontextmanager
async def one_way(socket: web.WebSocketResponse, gone: Callable[[], None]) -> AsyncIterator[None]:
    """While only this side speaks: what the client says is passed over, and when it closes, `gone` is called.

    The connection is closed at the end, with code 1011 if that is an exception.
    """

    async def receive() -> None:
        while (await socket.receive()).type not in _ENDED:
            pass
        gone()

    reader = asyncio.create_task(receive())
    code = WSCloseCode.OK
    try:
        yield
    except Exception:
        code = WSCloseCode.INTERNAL_ERROR
        raise
    finally:
        await cancel_and_wait(reader)
        with contextlib.suppress(ConnectionError):
            await socket.close(code=code)
