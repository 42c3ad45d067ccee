"""The way of events to the API server: one after another, in the order in which they were recorded.

A server that cannot be reached is asked again, and the others wait meanwhile; drops are counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.kit.metrics import Counter
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError

log = logging.getLogger(__name__)

Object = dict[str, Any]

QUEUE_MAX = 1000
TRIES, RETRY_PERIOD = 12, 10.0  # of an event that the server did not hear; seconds between them

_DROPPED = Counter("event_recorder_dropped_total", "Events not sent", ["component", "why"])


class EventOutbox:
    """Events of `component` on their way. `run` must be under way.

    write: brings one event to the server. queue_max: events that may wait for it.
    """

    def __init__(
        self, client: Client, component: str, clock: Clock, write: Callable[[Object], Awaitable[None]], queue_max: int
    ) -> None:
        self._client, self._component, self._clock, self._write = client, component, clock, write
        self._queue: asyncio.Queue[Object] = asyncio.Queue(queue_max)

    def put(self, event: Object) -> None:
        """Send it when its turn comes; it is dropped while too many wait."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped("queue")

    def dropped(self, why: str) -> None:
        """Count an event that nobody will see."""
        _DROPPED.labels(self._component, why).inc()

    async def run(self) -> None:
        """Send what is put, until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._send(event)
            except (ApiError, ApiUnreachable) as error:
                self.dropped("server")
                log.info("event %s %s not sent: %s", event["reason"], objects.name(event), error)
            except Exception:  # a defect, but no daemon ends for an event
                log.exception("event %s not sent", event["reason"])

    async def _send(self, event: Object) -> None:
        """Raises ApiError: such an event will never be taken. ApiUnreachable: after the last try."""
        for tried in range(1, TRIES + 1):
            try:
                await self._write(event)
                return
            except ApiUnreachable:
                if tried == TRIES:
                    raise
            # At random at first: not all clients of a server that comes back are to ask it at once.
            await self._client.pause(RETRY_PERIOD * (random.random() if tried == 1 else 1.0), self._clock)
