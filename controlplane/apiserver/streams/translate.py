"""exec and attach over WebSocket (v5.channel.k8s.io, KEP-4006), spoken to the node agent as SPDY.

Container runtimes speak v5 nowhere, so the API server translates: a message's first byte is the channel (0 stdin,
1 stdout, 2 stderr, 3 error, 4 resize, 255 close), and each channel is a SPDY stream. Nothing is queued: a frame is read
from one side when the one before it has been taken by the other.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from msgspec import Struct

from apimachinery.kit import spdy
from apimachinery.meta import status
from controlplane.apiserver.front.websockets import accepted, is_websocket, offered
from controlplane.apiserver.streams.forward import Sent
from controlplane.apiserver.streams.headers import without_handshake
from controlplane.apiserver.streams.target import Target
from controlplane.apiserver.streams.upgrade import Refused, Upgraded, upgraded

log = logging.getLogger(__name__)

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_READ = 64 * 1024
_CREATE_TIMEOUT = 30.0  # seconds for the node agent to accept every stream (DefaultStreamCreationTimeout)
_WRITE_STATUS_TIMEOUT = 10.0
_CHANNELS = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}


class Options(Struct, frozen=True):
    """Which streams are asked for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    def streams(self) -> list[str]:
        """The types of the streams to open, in the order of upstream's client."""
        wanted = (("error", True), ("stdin", self.stdin), ("stdout", self.stdout))
        more = (("stderr", self.stderr and not self.tty), ("resize", self.tty))
        return [kind for kind, asked in (*wanted, *more) if asked]

    @property
    def first(self) -> int:
        """The channel on which the client is told that the connection stands."""
        return STDOUT if self.stdout else STDERR if self.stderr else ERROR


def is_wanted(request: web.BaseRequest) -> bool:
    """Whether the client speaks v5 over WebSocket."""
    return is_websocket(request) and V5 in offered(request)


async def serve(request: web.BaseRequest, target: Target, sent: Sent, options: Options) -> web.StreamResponse:
    """Answer the client's handshake, then translate until the process has ended or either side is gone.

    What the node agent refuses is told on the error channel, as upstream does: the WebSocket stands by then. Raises
    ApiError 400 for a handshake that is none.
    """
    socket = await accepted(request, (V5,))
    try:
        await socket.send_bytes(bytes([options.first]))
        outcome = await _translated(socket, target, _spdy_request(sent), options)
        if outcome is not None:
            async with asyncio.timeout(_WRITE_STATUS_TIMEOUT):
                await socket.send_bytes(bytes([ERROR]) + orjson.dumps(outcome))
    except (ConnectionError, TimeoutError) as error:
        log.debug("a client is gone: %s", error)
    finally:
        await socket.close()
    return socket


async def _translated(
    socket: web.WebSocketResponse, target: Target, sent: Sent, options: Options
) -> dict[str, Any] | None:
    """The Status to tell; None when the client has gone."""
    try:
        async with upgraded(target, sent) as backend:
            return await _Translation(socket, backend, options).run()
    except Refused as refusal:
        return _internal(f"unable to upgrade connection: {_text(refusal.response)}")
    except status.ApiError as error:
        return _internal(error.message)
    except (spdy.ProtocolError, EOFError) as error:
        return _internal(f"error reading from error stream: {error}")


class _Translation:
    """One connection on each side."""

    def __init__(self, socket: web.WebSocketResponse, backend: Upgraded, options: Options) -> None:
        self._socket, self._reader, self._writer = socket, backend.reader, backend.writer
        self._codec = spdy.Codec()
        kinds = options.streams()
        self._streams = {kind: 2 * number + 1 for number, kind in enumerate(kinds)}
        self._channels = {number: _CHANNELS[kind] for kind, number in self._streams.items()}
        self._unanswered = set(self._channels)
        # The process has ended when nothing more can come on any of these.
        self._open = {self._streams[kind] for kind in kinds if kind in ("error", "stdout", "stderr")}
        self._error = bytearray()
        self._accepted = asyncio.Event()

    async def run(self) -> dict[str, Any] | None:
        for kind, number in self._streams.items():
            self._writer.write(self._codec.syn_stream(number, {"streamtype": kind}))
        from_backend = asyncio.create_task(self._from_backend())
        from_client = asyncio.create_task(self._from_client())
        try:
            await asyncio.wait((from_backend, from_client), return_when=asyncio.FIRST_COMPLETED)
            if not from_backend.done():
                return None
            from_backend.result()
            return _outcome(bytes(self._error))
        finally:
            for task in (from_backend, from_client):
                task.cancel()
            await asyncio.gather(from_backend, from_client, return_exceptions=True)

    async def _from_backend(self) -> None:
        """Until every stream from the process has ended. Raises EOFError, ProtocolError, ConnectionError."""
        deadline = asyncio.get_running_loop().time() + _CREATE_TIMEOUT
        while self._open:
            async with asyncio.timeout_at(None if self._accepted.is_set() else deadline):
                received = await self._reader.read(_READ)
            if not received:
                raise EOFError("unexpected EOF")
            for frame in self._codec.feed(received):
                await self._frame(frame)

    async def _frame(self, frame: spdy.Frame) -> None:
        match frame.kind:
            case 0:
                channel = self._channels.get(frame.stream)
                if channel == ERROR:
                    self._error += frame.data[: _READ - len(self._error)]
                elif channel is not None and frame.data:
                    await self._socket.send_bytes(bytes([channel]) + frame.data)
            case spdy.SYN_REPLY:
                self._unanswered.discard(frame.stream)
                if not self._unanswered:
                    self._accepted.set()
            case spdy.RST_STREAM:
                self._open.discard(frame.stream)
                self._unanswered.discard(frame.stream)
            case spdy.PING:
                self._writer.write(spdy.ping(frame.data))
            case spdy.SYN_STREAM:
                self._writer.write(spdy.rst_stream(frame.stream, spdy.REFUSED_STREAM))
        if frame.fin:
            self._open.discard(frame.stream)

    async def _from_client(self) -> None:
        """Until the client closes the connection."""
        await self._accepted.wait()
        closed: set[int] = set()
        async for message in self._socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, payload = message.data[0], message.data[1:]
            if channel == CLOSE and payload[:1] == b"\0" and "stdin" in self._streams:
                if self._streams["stdin"] not in closed:
                    self._writer.write(spdy.data(self._streams["stdin"], b"", fin=True))
                closed.add(self._streams["stdin"])
                continue
            kind = {STDIN: "stdin", RESIZE: "resize"}.get(channel, "")
            number = self._streams.get(kind)
            if number is None or number in closed:
                continue
            for at in range(0, len(payload), _READ):
                self._writer.write(spdy.data(number, payload[at : at + _READ]))
                await self._writer.drain()


def _spdy_request(sent: Sent) -> Sent:
    headers = without_handshake(sent.headers)
    headers["Connection"], headers["Upgrade"] = "Upgrade", "SPDY/3.1"
    headers["X-Stream-Protocol-Version"] = V4
    return Sent("POST", sent.path, sent.query, headers, sent.host)


def _outcome(told: bytes) -> dict[str, Any]:
    """The Status for what the node agent said on its error stream (client-go: errorDecoderV4)."""
    if not told:
        return {"metadata": {}, "status": "Success"}
    try:
        found = orjson.loads(told)
        if found["status"] == "Success":
            return {"metadata": {}, "status": "Success"}
        message = str(found.get("message") or "")
        if found.get("reason") != "NonZeroExitCode":
            return _internal(message)
        code = int(found["details"]["causes"][0]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError, ValueError):
        return _internal(f"error stream protocol error: {told.decode(errors='replace')}")
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _internal(message: str) -> dict[str, Any]:
    return status.internal(message).to_status()


def _text(response: web.Response) -> str:
    return bytes(response.body or b"").decode(errors="replace").strip()  # type: ignore[arg-type]
