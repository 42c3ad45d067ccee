"""Events: what a component says about an object, for people (client-go tools/record).

Recording never blocks and never fails its caller. Equal events are counted up in one object, similar ones combined from
the tenth on; a source that says too much about one object is cut off for a while (`event_correlator.py`). A server that
cannot be reached is asked again, and the others wait meanwhile; drops are counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from apimachinery.api.catalogue import EVENTS
from apimachinery.client.rehearsal import rehearsal
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.metrics import Counter
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_not_found

from .event_correlator import EventCorrelator

log = logging.getLogger(__name__)

Object = dict[str, Any]

QUEUE_MAX = 1000
TRIES, RETRY_PERIOD = 12, 10.0  # of an event that the server did not hear; seconds between them

_DROPPED = Counter("event_recorder_dropped_total", "Events not sent", ["component", "why"])


class EventRecorder:
    """Sends events in the name of `component` (and of `host`, for what runs on a node). `run` must be under way.

    queue_max: events that may wait to be sent. combines: as of `EventCorrelator`.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        host: str = "",
        clock: Clock | None = None,
        *,
        queue_max: int = QUEUE_MAX,
        combines: bool = True,
    ) -> None:
        self._client, self._component, self._host = client, component, host
        self._clock = clock or SystemClock()
        self._queue: asyncio.Queue[Object] = asyncio.Queue(queue_max)
        self._correlator = EventCorrelator(self._clock, combines=combines)

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """type: "Normal" or "Warning". reason: CamelCase, the machine's word. field_path: `spec.containers{name}`."""
        if (tried := rehearsal()) is not None:
            tried.events.append((type, reason, message))
            return
        now = times.rfc3339(self._clock.now())
        involved: Object = {
            "apiVersion": obj.get("apiVersion", ""),
            "kind": obj.get("kind", ""),
            "name": objects.name(obj),
            "uid": objects.uid(obj),
            "resourceVersion": objects.resource_version(obj),
        }
        if namespace := objects.namespace(obj):
            involved["namespace"] = namespace
        if field_path:
            involved["fieldPath"] = field_path
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace or "default"},
            "involvedObject": involved,
            "type": type,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        if not self._correlator.observe(event):
            _DROPPED.labels(self._component, "spam").inc()
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            _DROPPED.labels(self._component, "queue").inc()

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._send(event)
            except (ApiError, ApiUnreachable) as error:
                _DROPPED.labels(self._component, "server").inc()
                log.info("event %s on %s not sent: %s", event["reason"], event["involvedObject"]["name"], error)
            except Exception:  # a defect, but no daemon ends for an event
                log.exception("event %s not sent", event["reason"])

    async def _send(self, event: Object) -> None:
        """Raises ApiError: such an event will never be taken. ApiUnreachable: after the last try."""
        for tried in range(1, TRIES + 1):
            try:
                await self._written(event)
                return
            except ApiUnreachable:
                if tried == TRIES:
                    raise
            # At random at first: not all clients of a server that comes back are to ask it at once.
            await self._client.pause(RETRY_PERIOD * (random.random() if tried == 1 else 1.0), self._clock)

    async def _written(self, event: Object) -> None:
        metadata = event["metadata"]
        if event["count"] > 1:
            body = {field: event[field] for field in ("count", "lastTimestamp", "message")}
            try:
                await self._client.patch(EVENTS, metadata["name"], body, metadata["namespace"])
                return
            except ApiError as error:
                if not is_not_found(error):  # it expired, or was never taken: begin a new one
                    raise
        await self._client.create(EVENTS, event, metadata["namespace"])
