"""Events: what a component says about an object, for people (client-go tools/record).

Recording never blocks and never fails its caller. Equal events are counted up in one object; a source that says too
much about one object is cut off for a while (burst 25, then one every five minutes, as upstream); drops are counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import EVENTS
from apimachinery.client.rehearsal import rehearsal
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.metrics import Counter
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_not_found

log = logging.getLogger(__name__)

Object = dict[str, Any]

QUEUE_MAX = 1000
REMEMBERED_MAX = 4096
BURST, REFILL = 25, 1 / 300  # events about one object, then events a second
PATIENCE = 5.0  # seconds that an event gives way to what is more urgent

_DROPPED = Counter("event_recorder_dropped_total", "Events not sent", ["component", "why"])


@dataclass(slots=True)
class _Sent:
    name: str
    count: int


@dataclass(slots=True)
class _Tokens:
    left: float
    at: float


class EventRecorder:
    """Sends events in the name of `component` (and of `host`, for what runs on a node). `run` must be under way.

    give_way: waited for before each is sent, with the seconds it may take: whoever has more urgent things to do.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        host: str = "",
        clock: Clock | None = None,
        give_way: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._client, self._component, self._host = client, component, host
        self._clock, self._give_way = clock or SystemClock(), give_way
        self._queue: asyncio.Queue[tuple[float, Object]] = asyncio.Queue(QUEUE_MAX)
        self._sent: OrderedDict[str, _Sent] = OrderedDict()
        self._tokens: OrderedDict[str, _Tokens] = OrderedDict()

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """type: "Normal" or "Warning". reason: CamelCase, the machine's word. field_path: `spec.containers{name}`."""
        if (tried := rehearsal()) is not None:
            tried.events.append((type, reason, message))
            return
        if not self._allowed(objects.uid(obj) or objects.key(obj)):
            _DROPPED.labels(self._component, "spam").inc()
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
            "message": message[:1024],
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        try:
            self._queue.put_nowait((self._clock.monotonic(), event))
        except asyncio.QueueFull:
            _DROPPED.labels(self._component, "queue").inc()

    async def run(self) -> None:
        """Send what is recorded, until cancelled."""
        while True:
            recorded, event = await self._queue.get()
            try:
                left = PATIENCE - (self._clock.monotonic() - recorded)
                if self._give_way is not None and left > 0:
                    await self._give_way(left)
                await self._send(event)
            except (ApiError, ApiUnreachable) as error:
                _DROPPED.labels(self._component, "server").inc()
                log.info("event %s on %s not sent: %s", event["reason"], event["involvedObject"]["name"], error)
            except Exception:  # a defect, but no daemon ends for an event
                log.exception("event %s not sent", event["reason"])

    async def _send(self, event: Object) -> None:
        namespace = event["metadata"]["namespace"]
        key = _identity(event)
        if sent := self._sent.get(key):
            sent.count += 1
            body = {"count": sent.count, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch(EVENTS, sent.name, body, namespace)
                return
            except ApiError as error:
                if not is_not_found(error):  # it expired: begin a new one
                    raise
        # Upstream's name: the object's, and the time in hexadecimal nanoseconds.
        suffix = f"{int(self._clock.now().timestamp() * 1e9):x}"
        event["metadata"]["name"] = f"{event['involvedObject']['name']}.{suffix}"
        await self._client.create(EVENTS, event, namespace)
        self._sent[key] = _Sent(event["metadata"]["name"], 1)
        if len(self._sent) > REMEMBERED_MAX:
            self._sent.popitem(last=False)

    def _allowed(self, about: str) -> bool:
        now = self._clock.monotonic()
        tokens = self._tokens.setdefault(about, _Tokens(BURST, now))
        self._tokens.move_to_end(about)
        if len(self._tokens) > REMEMBERED_MAX:
            self._tokens.popitem(last=False)
        tokens.left = min(BURST, tokens.left + (now - tokens.at) * REFILL)
        tokens.at = now
        if tokens.left < 1:
            return False
        tokens.left -= 1
        return True


def _identity(event: Object) -> str:
    involved = event["involvedObject"]
    parts = (involved["kind"], involved["uid"], involved.get("fieldPath", ""), event["type"], event["reason"])
    return hashlib.sha256("\0".join((*parts, event["message"])).encode()).hexdigest()
