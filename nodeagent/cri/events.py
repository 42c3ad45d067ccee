"""containerd's own events: what became of a task, about 100 ms before the CRI shows it.

containerd 1.6 has no GetContainerEvents, so the agent listens to containerd.services.events.v1.Events/Subscribe, which
every version has. Events are hints: they may be lost or doubled, and a listing stays the truth. Field numbers are from
containerd's api/services/events/v1/events.proto and api/events/task.proto.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from apimachinery.kit.protowire import encode_strings, fields

from .channel import Channel

_SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
_FILTERS = ['namespace==k8s.io,topic~="^/tasks/(start|exit|oom|delete|paused|resumed)$"']


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something happened to a container's task. kind: "start", "exit", "oom", "delete", "paused" or "resumed".

    `container_id` is a container or a sandbox; `process_id` differs from it when an exec ended, not the container.
    """

    kind: str
    container_id: str
    process_id: str

    @property
    def of_init(self) -> bool:
        """Whether it concerns the container itself and not a process that was exec'ed into it."""
        return self.process_id in ("", self.container_id)


async def task_events(channel: Channel) -> AsyncIterator[TaskEvent]:
    """Yield task events from now on, until the runtime ends the stream.

    Raises RuntimeCallError: code UNIMPLEMENTED when the runtime is no containerd, RuntimeUnreachable when it went away.
    """
    rpc: Any = channel.grpc.unary_stream(_SUBSCRIBE)
    async for envelope in channel.stream(rpc, encode_strings(1, _FILTERS)):
        event = decode(envelope)
        if event is not None:
            yield event


def decode(envelope: bytes) -> TaskEvent | None:
    """An Envelope's task event; None when it is of another kind or cannot be read."""
    try:
        parts = dict(fields(envelope))
        topic, payload = parts.get(3, b""), parts.get(4, b"")
        if not isinstance(topic, bytes) or not isinstance(payload, bytes) or not topic.startswith(b"/tasks/"):
            return None
        body = dict(fields(payload)).get(2, b"")
        event = dict(fields(body)) if isinstance(body, bytes) else {}
        container, process = event.get(1, b""), event.get(2, b"")
        kind = topic.decode().removeprefix("/tasks/")
        if not isinstance(container, bytes) or not container:
            return None
        # Only TaskExit and TaskDelete may speak of an exec; field 2 of the others is the pid, or nothing.
        named = process.decode() if kind == "exit" and isinstance(process, bytes) else ""
        return TaskEvent(kind, container.decode(), named)
    except (ValueError, UnicodeDecodeError):
        return None
