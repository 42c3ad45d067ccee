"""The scheduler's loop in the glass box: its queue, what it would decide about the next pod, and the decision."""

from __future__ import annotations

from typing import Any

from apimachinery.controller.glassbox import describe_queue
from controlplane.scheduler.decision import Decision
from controlplane.scheduler.messages import fit_error
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.queue import SchedulingQueue
from controlplane.scheduler.schedule_one import ScheduleOne

Object = dict[str, Any]

NAME = "scheduler"


class SchedulerLoop:
    """See apimachinery.controller.glassbox.Loop. Keys are `namespace/name` of pods."""

    name = NAME

    def __init__(self, loop: ScheduleOne, queue: SchedulingQueue) -> None:
        self._loop, self._queue = loop, queue

    def describe(self) -> Object:
        ready, later = self._queue.waiting(), self._queue.later()
        described = describe_queue(NAME, paused=self._queue.held, ready=ready, working=self._loop.working, later=later)
        return {**described, "namespaced": True}

    def pause(self) -> None:
        """Decide about no further pod; bindings under way are finished."""
        self._queue.hold()

    def resume(self) -> None:
        self._queue.release()

    async def rehearse(self, key: str) -> Object:
        """See Loop.rehearse: the decision is made, on the cluster as it is now, and dropped."""
        queued = self._queue.peek(key)
        if queued is None:
            return {}
        decision, nodes = self._loop.consider(queued.pod)
        return {"key": queued.pod.key, **_told(queued.pod, decision, nodes)}

    async def step(self, key: str) -> Object:
        """See Loop.step."""
        return await self._loop.step(key)


def _told(pod: PodInfo, decision: Decision, nodes: int) -> Object:
    meta = pod.pod["metadata"]
    about = {
        "kind": "Pod",
        "key": pod.key,
        "resourceVersion": meta.get("resourceVersion", ""),
        "deleting": pod.deleting,
    }
    writes: list[Object] = []
    events: list[Object] = []
    path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
    if decision.node is not None:
        target = {"apiVersion": "v1", "kind": "Node", "name": decision.node}
        writes.append({"method": "POST", "path": f"{path}/binding", "body": {"target": target}})
        message = f"Successfully assigned {pod.key} to {decision.node}"
        events.append({"type": "Normal", "reason": "Scheduled", "message": message})
    else:
        message = fit_error(nodes, decision.refusals, "")
        events.append({"type": "Warning", "reason": "FailedScheduling", "message": message})
    scores = dict(zip(decision.scores.nodes, decision.scores.totals, strict=True))
    refused = {
        name: {"plugin": verdict.plugin, "reasons": list(verdict.reasons)}
        for name, verdict in decision.refusals.items()
    }
    return {
        "picture": {"object": about, "rows": [["node", "one", "none"]]},
        "writes": writes,
        "events": events,
        "scores": scores,
        "refusals": refused,
        "again": None,
        "error": "",
    }
