"""Serving a watch: events as lines of a chunked answer, or as messages of a WebSocket.

Once a watch's options make sense, what goes wrong is told inside the stream, as upstream does: an ERROR event with a
Status (410 Expired, 504 Too large resource version), then the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import HttpVersion11, web

from apimachinery.meta import status
from controlplane.apiserver.audit.trail import begun
from controlplane.apiserver.front import metering
from controlplane.apiserver.front.negotiate import JSON, STREAMED, YAML, accept
from controlplane.apiserver.front.watch_lines import LENGTH, Lines
from controlplane.apiserver.front.watch_push import Pusher
from controlplane.apiserver.front.websockets import accepted, has_origin, is_websocket, offered, one_way
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.collection import Attributes, Collection
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.registry.options import RevisionAt, list_options
from controlplane.apiserver.registry.selection import selection
from controlplane.apiserver.registry.watch import next_batch, open_watch
from controlplane.apiserver.storage.cache_history import EventStream
from controlplane.apiserver.tables.render import Tables

Send = Callable[[list[bytes]], Awaitable[None]]

MIN_WATCH = 1800.0
"""Seconds a watch lasts at least when the client names no timeout; up to twice as long, so that not all end at once
(--min-request-timeout)."""
_LAST_BOOKMARK = 2.0  # seconds before the end, as upstream's bookmark before a deadline
_EVER = 10 * 365 * 86400.0  # seconds of a watch that nothing ends
_STALLED = 10.0  # seconds that a client which was too slow has to take what is left
_PORTION = 512  # events written at once
_TOLD_INSIDE = ("Expired", "Timeout")


async def serve_watch(
    request: web.BaseRequest,
    call: Call,
    collection: Collection,
    tables: Tables,
    revision_at: RevisionAt,
    min_watch: float,
) -> web.StreamResponse:
    """Streams until the client goes, its time is over, or it is too slow. Raises ApiError before the stream begins."""
    protobuf = not isinstance(call.resource, DefinedResource)
    wanted = accept(request.headers.get("Accept", ""), protobuf=protobuf)
    if wanted.media == YAML:
        raise status.not_acceptable(STREAMED)
    include = call.query.get("includeObject", "")
    if wanted.kind == "Table":
        tables.check(include)
    options = list_options(call.query, watch=True, revision_at=revision_at)
    # A name is pinned by the field selector or by the old spelling, /api/v1/watch/…/NAME.
    chosen = selection(collection.strategy, call.resource, call.query, call.name)
    timeout = options.timeout if options.timeout else random.uniform(min_watch, 2 * min_watch) or _EVER
    lines = Lines(call.resource, collection.resource, wanted, tables, include)
    if is_websocket(request) and not has_origin(request):
        return web.Response(status=403)
    try:
        watch = await open_watch(collection, call.namespace, chosen, options)
    except status.ApiError as error:
        if error.reason not in _TOLD_INSIDE:
            raise
        async with _answer(request, wanted.media, lambda: None) as (response, send):
            await send([lines.error(error)])
        return response
    async with watch, _answer(request, wanted.media, watch.close) as (response, send):
        loop = asyncio.get_running_loop()
        at_last = max(0.0, timeout - _LAST_BOOKMARK)
        timers = [loop.call_later(at_last, _last_bookmark, collection, watch, options.bookmarks)]
        transport = request.transport
        if transport is not None:
            # What is still in its buffer is for a slow client; one that has stopped reading would keep it for ever.
            watch.when_too_slow(lambda: timers.append(loop.call_later(_STALLED, transport.abort)))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    direct = lines.at_once and response.chunked
                    await _stream(collection, watch, lines, send, request if direct else None)
        finally:
            for timer in timers:
                timer.cancel()
    return response


def _last_bookmark(collection: Collection, watch: EventStream[Attributes], wanted: bool) -> None:
    if wanted:
        watch.offer_bookmark(collection.cache.revision)


async def _stream(
    collection: Collection,
    watch: EventStream[Attributes],
    lines: Lines,
    send: Send,
    direct: web.BaseRequest | None,
) -> None:
    """direct: the request whose connection may be written to by the cache itself, once there is nothing before it."""
    sent = metering.watched(*lines.resource.gvk)
    while True:
        if direct is not None and watch.live is not None and direct.transport is not None:
            await watch.live.push(Pusher(direct, direct.transport, lines, sent), direct.writer.drain)
            return
        events, error = await next_batch(collection, watch)
        for begin in range(0, len(events), _PORTION):
            try:
                told = await lines.lines(events[begin : begin + _PORTION])
            except status.ApiError as failure:
                await send([lines.error(failure)])
                return
            await send(told)
        sent.add(len(events))
        if error is not None:
            await send([lines.error(error)])
        if not events:
            return


@contextlib.asynccontextmanager
async def _answer(
    request: web.BaseRequest, media: str, gone: Callable[[], None]
) -> AsyncIterator[tuple[web.StreamResponse, Send]]:
    """The answer that has begun, and how to send lines by it. gone: called when a WebSocket's client closes it."""
    if is_websocket(request):
        async with _websocket(request, media, gone) as found:
            yield found
        return
    said = media if media == JSON else f"{media};stream=watch"
    response = web.StreamResponse(headers={"Content-Type": said, "Cache-Control": "no-cache, private"})
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    begun(request, response.status)

    async def send(lines: list[bytes]) -> None:
        await response.write(b"".join(lines))

    yield response, send


@contextlib.asynccontextmanager
async def _websocket(
    request: web.BaseRequest, media: str, gone: Callable[[], None]
) -> AsyncIterator[tuple[web.StreamResponse, Send]]:
    socket = await accepted(request, offered(request))

    async def send(lines: list[bytes]) -> None:
        for line in lines:
            if media == JSON:
                await socket.send_str(line.decode())
            else:
                await socket.send_bytes(line[LENGTH:])  # a message has its length

    async with one_way(socket, gone):
        yield socket, send
