"""Port-forward over WebSocket (KEP-4006): the bytes of a SPDY connection, carried in binary messages.

The WebSocket ends here; behind it the same bytes go to the node agent as SPDY. Client and runtime speak SPDY with each
other, unread by us.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from controlplane.apiserver.streams.forward import Sent
from controlplane.apiserver.streams.target import Target
from controlplane.apiserver.streams.upgrade import Refused, Upgraded, failure, upgraded

_PREFIX, _SUFFIX = "SPDY/3.1+", ".k8s.io"
_ALPHA = "v2.portforward.k8s.io"  # the name of Kubernetes 1.30
_V1 = "portforward.k8s.io"
_READ = 64 * 1024
_MESSAGE_MAX = 32 * 1024 * 1024


def protocols(request: web.BaseRequest) -> dict[str, str]:
    """The tunnelled protocols a client offers: its name of each → the name within SPDY."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return {}
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    offered = [word.strip() for line in lines for word in line.split(",")]
    found = {
        word: word.removeprefix(_PREFIX) for word in offered if word.startswith(_PREFIX) and word.endswith(_SUFFIX)
    }
    return found | ({_ALPHA: _V1} if _ALPHA in offered else {})


async def serve(request: web.BaseRequest, target: Target, sent: Sent) -> web.StreamResponse:
    """Ask the node agent first; its refusal is the client's answer. Raises ApiError 500."""
    offered = protocols(request)
    headers = sent.headers.copy()
    for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
        headers.popall(name, None)
    headers.popall("X-Stream-Protocol-Version", None)
    headers["Connection"], headers["Upgrade"] = "Upgrade", "SPDY/3.1"
    for inner in dict.fromkeys(offered.values()):
        headers.add("X-Stream-Protocol-Version", inner)
    try:
        async with upgraded(target, Sent("POST", sent.path, sent.query, headers, sent.host)) as backend:
            if "spdy/3.1" not in backend.headers.get("Upgrade", "").lower():
                raise failure("unable to upgrade: missing upgrade headers in response")
            chosen = backend.headers.get("X-Stream-Protocol-Version", "").strip()
            names = tuple(outer for outer, inner in offered.items() if inner == chosen)
            socket = web.WebSocketResponse(protocols=names, compress=False, max_msg_size=_MESSAGE_MAX)
            await socket.prepare(request)
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
