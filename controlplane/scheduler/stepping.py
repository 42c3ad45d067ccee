"""The scheduler's loop in the glass box: its queue, what it would decide about the next pod, and the decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.controller.glassbox import describe_queue
from apimachinery.meta import pods
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.queue import SchedulingQueue
from controlplane.scheduler.schedule_one import Considered, ScheduleOne

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
        return {"key": queued.pod.key, **_told(queued.pod, self._loop.consider(queued.pod))}

    async def step(self, key: str) -> Object:
        """See Loop.step."""
        return await self._loop.step(key)


def _told(pod: PodInfo, considered: Considered) -> Object:
    decision = considered.decision
    meta = pod.pod["metadata"]
    about = {
        "kind": "Pod",
        "key": pod.key,
        "resourceVersion": meta.get("resourceVersion", ""),
        "deleting": pod.deleting,
    }
    writes: list[Object] = []
    events: list[Object] = []
    if decision.node is not None:
        target = {"apiVersion": "v1", "kind": "Node", "name": decision.node}
        writes.append({"method": "POST", "path": f"{_path(pod)}/binding", "body": {"target": target}})
        message = f"Successfully assigned {pod.key} to {decision.node}"
        events.append({"type": "Normal", "reason": "Scheduled", "message": message})
    else:
        events.append({"type": "Warning", "reason": "FailedScheduling", "message": considered.message})
        writes += _waiting(pod, considered)
        victims = considered.preemption.victims
        for victim in victims.pods if victims is not None else ():
            writes.append({"method": "DELETE", "path": _path(victim), "body": None})
            message = f"Preempted by pod {pod.uid} on node {victims.node if victims is not None else ''}"
            events.append({"type": "Normal", "reason": "Preempted", "message": message})
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


def _waiting(pod: PodInfo, considered: Considered) -> Iterator[Object]:
    """That the pod waits, and for which node, where its status does not say so yet."""
    if not considered.status:
        return
    name = {"kind": "Pod", "metadata": {"name": pod.name}}
    before: Object = {"nominatedNodeName": pod.nominated_node or None}
    after: Object = {"nominatedNodeName": considered.status.get("nominatedNodeName", before["nominatedNodeName"])}
    for condition in considered.status.get("conditions") or ():
        old = pods.condition(pod.pod, condition["type"]) or {}
        before |= {condition["type"]: old.get("status"), "message": old.get("message")}
        after |= {condition["type"]: condition["status"], "message": condition["message"]}
    yield {
        "method": "PATCH",
        "path": f"{_path(pod)}/status",
        "body": {"status": considered.status},
        "before": {**name, "status": before},
        "after": {**name, "status": after},
    }


def _path(pod: PodInfo) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
