"""Events by the API group events.k8s.io (client-go tools/events), as the scheduler and kube-proxy record them.

They say which action led to them and what else had a part in it, and repeats become a series (`event_series.py`).
Recording never blocks and never fails its caller; the way to the server is `event_outbox.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import NEW_EVENTS
from apimachinery.client.rehearsal import rehearsal
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.meta import times
from apimachinery.meta.status import ApiError, is_not_found

from .event_outbox import QUEUE_MAX, EventOutbox
from .event_parts import EventNames, reference
from .event_series import FINISH_TIME, REFRESH_TIME, EventSeries

Object = dict[str, Any]

NOTE_MAX = 1024  # bytes; the API server refuses longer ones


class SeriesRecorder:
    """Sends events in the name of `controller` on this host. `run` must be under way.

    queue_max: events that may wait to be sent.
    """

    def __init__(
        self, client: Client, controller: str, clock: Clock | None = None, *, queue_max: int = QUEUE_MAX
    ) -> None:
        self._client, self._controller = client, controller
        self._instance = f"{controller}-{socket.gethostname()}"
        self._clock = clock or SystemClock()
        self._names, self._series = EventNames(), EventSeries(self._clock)
        self._outbox = EventOutbox(client, controller, self._clock, self._write, queue_max)

    def event(
        self, regarding: Object, type: str, reason: str, action: str, note: str, *, related: Object | None = None
    ) -> None:
        """type: "Normal" or "Warning". reason, action: CamelCase, the machine's words: why, and what is done.

        note: for people; at most `NOTE_MAX` bytes. related: what else had a part in it.
        """
        if (tried := rehearsal()) is not None:
            tried.events.append((type, reason, note))
            return
        now, about = self._clock.now(), reference(regarding)
        event: Object = {
            "apiVersion": NEW_EVENTS.api_version,
            "kind": "Event",
            "metadata": {
                "name": self._names.next(about["name"], now),
                "namespace": about.get("namespace", "default"),
            },
            "eventTime": times.rfc3339_micro(now),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "regarding": about,
            "note": note,
            "type": type,
        }
        if related is not None:
            event["related"] = reference(related)
        self._put(self._series.observe(event))

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outbox.run())
            group.create_task(self._every(FINISH_TIME, self._series.finish))
            group.create_task(self._every(REFRESH_TIME, self._series.refresh))

    async def _every(self, seconds: float, due: Callable[[], list[Object]]) -> None:
        while True:
            await self._clock.sleep(seconds)
            self._put(due())

    def _put(self, events: list[Object]) -> None:
        for event in events:
            self._outbox.put(event)

    async def _write(self, event: Object) -> None:
        metadata = event["metadata"]
        if "series" in event:
            body = {"series": event["series"]}
            try:
                await self._client.patch(NEW_EVENTS, metadata["name"], body, metadata["namespace"], kind="strategic")
                return
            except ApiError as error:
                if not is_not_found(error):  # it expired, or was never taken: begin a new one
                    raise
        await self._client.create(NEW_EVENTS, event, metadata["namespace"])
