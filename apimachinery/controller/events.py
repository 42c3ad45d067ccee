"""Events: what a component says about an object, for people (client-go tools/record). The scheduler and kube-proxy say
it by the API group events.k8s.io instead: `series_recorder.py`.

Recording never blocks and never fails its caller. Equal events are counted up in one object, similar ones combined from
the tenth on; a source that says too much about one object is cut off for a while (`event_correlator.py`). A server that
cannot be reached is asked again (`event_outbox.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import EVENTS
from apimachinery.client.rehearsal import rehearsal
from apimachinery.client.rest import Client
from apimachinery.kit.bucket import TokenBucket
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.meta import times
from apimachinery.meta.status import ApiError, is_not_found

from .event_correlator import EventCorrelator
from .event_outbox import QUEUE_MAX, EventOutbox
from .event_parts import reference

Object = dict[str, Any]


class EventRecorder:
    """Sends events in the name of `component` (and of `host`, for what runs on a node). `run` must be under way.

    queue_max: events that may wait to be sent. pace: how often one is, as often as the server answers without.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        host: str = "",
        clock: Clock | None = None,
        *,
        queue_max: int = QUEUE_MAX,
        pace: TokenBucket | None = None,
    ) -> None:
        self._client, self._component, self._host = client, component, host
        self._clock, self._pace = clock or SystemClock(), pace
        self._outbox = EventOutbox(client, component, self._clock, self._write, queue_max)
        self._correlator = EventCorrelator(self._clock)

    def event(
        self,
        obj: Object,
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """type: "Normal" or "Warning". reason: CamelCase, the machine's word. field_path: `spec.containers{name}`.

        annotations: of the event.
        """
        if (tried := rehearsal()) is not None:
            tried.events.append((type, reason, message))
            return
        now = times.rfc3339(self._clock.now())
        involved = reference(obj, field_path)
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "namespace": involved.get("namespace", "default"),
                **({"annotations": dict(annotations)} if annotations else {}),
            },
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
        if self._correlator.observe(event):
            self._outbox.put(event)
        else:
            self._outbox.dropped("spam")

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        await self._outbox.run()

    async def _write(self, event: Object) -> None:
        if self._pace is not None:
            await self._pace.wait()
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
