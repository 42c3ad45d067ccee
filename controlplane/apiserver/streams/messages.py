"""The body of a backend's answer as WebSocket messages: logs, for browsers (apimachinery httpstream/wsstream.Reader).

A message is a piece of the body, binary, or as base64 in text: the subprotocol says which. An empty one comes first, so
that the client knows that the log is there though nobody has written to it.
"""

from __future__ import annotations

import logging
from binascii import b2a_base64
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from controlplane.apiserver.front.websockets import accepted, offered, one_way

log = logging.getLogger(__name__)

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"


def choose(protocols: list[str]) -> str | None:
    """The first of the client's subprotocols that is spoken here: "" when it names none, None when none is spoken."""
    if not protocols:
        return ""
    return next((word for word in protocols if word in (BINARY, BASE64)), None)


async def answered(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Answer the handshake, and hand the body on until it has ended or the client is gone.

    403 for a client none of whose subprotocols is spoken, as upstream. headers: have no place in a handshake's answer.
    Raises ApiError 400 for a handshake that is none.
    """
    chosen = choose(offered(request))
    if chosen is None:
        return web.Response(status=403)
    socket = await accepted(request, (chosen,))
    send = _as_text(socket) if chosen == BASE64 else socket.send_bytes
    try:
        async with one_way(socket, answer.close):
            await send(b"")
            async for piece in answer.content.iter_any():
                await send(piece)
    except (aiohttp.ClientError, ConnectionError) as error:
        # The backend broke off, which the code of the close has told; or the client has gone.
        log.debug("a stream ended early: %s", error)
    return socket


def _as_text(socket: web.WebSocketResponse) -> Callable[[bytes], Awaitable[None]]:
    async def send(piece: bytes) -> None:
        await socket.send_str(b2a_base64(piece, newline=False).decode())

    return send
