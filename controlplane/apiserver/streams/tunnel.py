"""Port-forward over WebSocket (KEP-4006): the bytes of a SPDY connection, carried in binary messages.

The WebSocket ends here; behind it the same bytes go to the node agent as SPDY. Client and runtime speak SPDY with each
other, unread by us.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from controlplane.apiserver.front.websockets import accepted, is_websocket, offered
from controlplane.apiserver.streams.forward import Sent
from controlplane.apiserver.streams.headers import without_handshake
from controlplane.apiserver.streams.target import Target
from controlplane.apiserver.streams.upgrade import Refused, Upgraded, failure, upgraded

_PREFIX, _SUFFIX = "SPDY/3.1+", ".k8s.io"
_ALPHA = "v2.portforward.k8s.io"  # the name of Kubernetes 1.30
_V1 = "portforward.k8s.io"
_READ = 64 * 1024


def protocols(request: web.BaseRequest) -> dict[str, str]:
    """The tunnelled protocols a client offers: its name of each → the name within SPDY."""
    if not is_websocket(request):
        return {}
    words = offered(request)
    found = {word: word.removeprefix(_PREFIX) for word in words if word.startswith(_PREFIX) and word.endswith(_SUFFIX)}
    return found | ({_ALPHA: _V1} if _ALPHA in words else {})


async def serve(request: web.BaseRequest, target: Target, sent: Sent) -> web.StreamResponse:
    """Ask the node agent first; its refusal is the client's answer. Raises ApiError 400, 500."""
    asked = protocols(request)
    headers = without_handshake(sent.headers)
    headers.popall("X-Stream-Protocol-Version", None)
    headers["Connection"], headers["Upgrade"] = "Upgrade", "SPDY/3.1"
    for inner in dict.fromkeys(asked.values()):
        headers.add("X-Stream-Protocol-Version", inner)
    try:
        async with upgraded(target, Sent("POST", sent.path, sent.query, headers, sent.host)) as backend:
            if "spdy/3.1" not in backend.headers.get("Upgrade", "").lower():
                raise failure("unable to upgrade: missing upgrade headers in response")
            chosen = backend.headers.get("X-Stream-Protocol-Version", "").strip()
            names = tuple(outer for outer, inner in asked.items() if inner == chosen)
            socket = await accepted(request, names)
            await _carry(socket, backend)
            return socket
    except Refused as refusal:
        return refusal.response


async def _carry(socket: web.WebSocketResponse, backend: Upgraded) -> None:
    async def outwards() -> None:
        while data := await backend.reader.read(_READ):
            await socket.send_bytes(data)

    async def inwards() -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                backend.writer.write(message.data)
                await backend.writer.drain()

    tasks = [asyncio.create_task(outwards()), asyncio.create_task(inwards())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        # A connection that breaks is how most port-forwards end.
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()
