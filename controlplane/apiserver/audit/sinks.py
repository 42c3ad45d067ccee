"""Where audit events go: the log file, a webhook, and what gathers them before either (k8s.io/apiserver's
plugin/pkg/audit).

An event is its JSON, without a newline.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from apimachinery.kit import go_json
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.audit.log import LogFile
from controlplane.apiserver.audit.options import BATCH, STRICT, Batching, Delivery
from controlplane.apiserver.audit.policy import Level
from controlplane.apiserver.remote import Remote, RemoteFailed

log = logging.getLogger(__name__)

Object = dict[str, Any]

_ERRORS = Counter("apiserver_audit_error_total", "Audit events that could not be written", ["plugin"])
_HEAD = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
_LIST = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['


def failed(plugin: str, why: object, events: int = 1) -> None:
    """Count and tell events that were lost."""
    _ERRORS.labels(plugin).inc(events)
    log.error("Error in audit plugin '%s' affecting %d audit events: %s", plugin, events, why)


class Sink(Protocol):
    """name: in metrics. Who loses events counts and tells them; no failure is raised."""

    name: str

    async def keep(self, events: Sequence[bytes]) -> bool:
        """Whether the events are where they belong."""
        ...

    async def close(self) -> None:
        """Keep what is still waiting, and end."""
        ...


class LogSink:
    """Writes a line an event."""

    name = "log"

    def __init__(self, file: LogFile) -> None:
        self._file = file

    async def keep(self, events: Sequence[bytes]) -> bool:
        return self.write(events)

    def write(self, events: Sequence[bytes]) -> bool:
        """As `keep`, which never waits here."""
        lost = 0
        for event in events:
            try:
                self._file.write(event + b"\n")
            except (OSError, ValueError) as error:
                lost += 1
                failed(self.name, error)
        return not lost

    async def close(self) -> None:
        self._file.close()


class WebhookSink:
    """POSTs an EventList; every failure is tried again, five times in all."""

    name = "webhook"

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def keep(self, events: Sequence[bytes]) -> bool:
        try:
            await self._remote.post(event_list(events), lambda answer: None)
        except RemoteFailed as error:
            failed(self.name, error, len(events))
            return False
        return True

    async def close(self) -> None:
        await self._remote.close()


def event_list(events: Sequence[bytes]) -> bytes:
    """The EventList that holds them. Items of a list say no kind."""
    return b"%b%b]}" % (_LIST, b",".join(b"{" + event.removeprefix(_HEAD) for event in events))


class Buffer:
    """Gathers events for a sink and gives them to it in groups, several at a time if `beside` (buffered.go). Who gives
    an event never waits; what finds no room is lost."""

    name = "buffered"

    def __init__(self, sink: Sink, batching: Batching, clock: Clock, *, beside: bool) -> None:
        self._sink, self._batching, self._clock, self._beside = sink, batching, clock, beside
        self._waiting: deque[bytes] = deque()
        self._enough, self._ending = asyncio.Event(), False
        self._tokens, self._counted = float(batching.burst), clock.monotonic()
        self._under_way: set[asyncio.Task[bool]] = set()
        self._task: asyncio.Task[None] | None = None

    def put(self, event: bytes) -> None:
        """Keep it for later."""
        if self._ending or len(self._waiting) >= self._batching.buffer:
            failed(self.name, "audit backend shut down" if self._ending else "audit buffer queue blocked")
            return
        self._waiting.append(event)
        if len(self._waiting) >= self._batching.size:
            self._enough.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Give away all that is there, and wait until that was kept or lost."""
        self._ending = True
        self._enough.set()
        if self._task is not None:
            await self._task
        await self._sink.close()

    async def _run(self) -> None:
        while not self._ending:
            await self._filled()
            await self._give()
        while self._waiting:
            await self._give()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _filled(self) -> None:
        """Wait until there is a whole group, or for as long as groups wait, or for the end."""
        if self._batching.size == 1:
            await self._enough.wait()
            return
        timer = asyncio.create_task(self._clock.sleep(self._batching.wait))
        enough = asyncio.create_task(self._enough.wait())
        await asyncio.wait({timer, enough}, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(timer, enough)

    async def _give(self) -> None:
        waiting, size = self._waiting, self._batching.size
        group = [waiting.popleft() for _ in range(min(size, len(waiting)))]
        if not self._ending and len(waiting) < size:
            self._enough.clear()
        if not group:
            return
        await self._token()
        if not self._beside:
            await self._sink.keep(group)
            return
        task = asyncio.create_task(self._sink.keep(group))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _token(self) -> None:
        """Wait until another group may go."""
        batching = self._batching
        if not batching.qps:
            return
        while True:
            now = self._clock.monotonic()
            self._tokens = min(float(batching.burst), self._tokens + (now - self._counted) * batching.qps)
            self._counted = now
            if self._tokens >= 1:
                self._tokens -= 1
                return
            await self._clock.sleep((1 - self._tokens) / batching.qps)


class Outlet:
    """One place that events go to, as its flags say. render: what is written of an event instead of its JSON."""

    def __init__(
        self,
        sink: LogSink | WebhookSink,
        delivery: Delivery,
        clock: Clock,
        render: Callable[[Object], bytes] | None = None,
    ) -> None:
        self._sink, self._limit, self._strict = sink, delivery.limit, delivery.mode == STRICT
        self._render = render
        self._buffer: Buffer | None = None
        if delivery.mode == BATCH:
            self._buffer = Buffer(sink, delivery.batching, clock, beside=isinstance(sink, WebhookSink))

    @property
    def name(self) -> str:
        """In metrics."""
        return self._sink.name

    def put(self, event: Object, line: bytes) -> bool | Coroutine[Any, Any, bool]:
        """Whether the request may go on, or what will tell. line: the event's JSON."""
        if self._limit is not None and len(line) >= self._limit:
            cut = truncated(event, self._limit)
            if cut is None:
                failed("truncate", "event is too large even after truncating")
                return True
            line = cut
        if self._render is not None:
            line = self._render(event)
        if self._buffer is not None:
            self._buffer.put(line)
            return True
        if isinstance(self._sink, LogSink):
            return self._sink.write([line]) or not self._strict
        return self._awaited(line)

    async def close(self) -> None:
        """Keep what is still waiting, and end."""
        await (self._buffer or self._sink).close()

    async def _awaited(self, line: bytes) -> bool:
        return await self._sink.keep([line]) or not self._strict


def truncated(event: Object, limit: int) -> bytes | None:
    """The JSON of an event of `limit` or more bytes, without its objects; None when that is too long too (truncate.go,
    which counts a newline)."""
    if event.get("level") not in (str(Level.REQUEST), str(Level.REQUEST_RESPONSE)):
        return None
    less = {key: value for key, value in event.items() if key not in ("requestObject", "responseObject")}
    annotations = {**event.get("annotations", {}), "audit.k8s.io/truncated": "true"}
    found = go_json.encode({**less, "annotations": dict(sorted(annotations.items()))})
    return found if len(found) < limit else None
