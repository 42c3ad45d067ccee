"""What became of a pod, told: by events, by its PodScheduled condition, and to those who make room for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import PODS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.controller.series_recorder import SeriesRecorder
from apimachinery.kit.clock import Clock
from apimachinery.meta import pods, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.scheduler.messages import truncated
from controlplane.scheduler.pod_info import PREEMPTED, PodInfo

log = logging.getLogger(__name__)

Object = dict[str, Any]


class Telling:
    """Speaks in the name of each profile. recorders: by schedulerName."""

    def __init__(self, client: Client, recorders: Mapping[str, SeriesRecorder], clock: Clock) -> None:
        self._client, self._recorders, self._clock = client, recorders, clock

    def scheduled(self, pod: PodInfo, node: str) -> None:
        """It is bound."""
        note = f"Successfully assigned {pod.key} to {node}"
        self._recorders[pod.scheduler_name].event(pod.pod, "Normal", "Scheduled", "Binding", note)

    def complain(self, pod: PodInfo, message: str) -> None:
        """It gets no node; by an event only."""
        recorder = self._recorders[pod.scheduler_name]
        recorder.event(pod.pod, "Warning", "FailedScheduling", "Scheduling", truncated(message))

    async def refused(self, pod: PodInfo, message: str, nominated: str | None) -> bool:
        """It waits, for room on the node `nominated` or, if that is "", for no node; None leaves that as it is. False
        when the pod is gone. Raises ApiError or ApiUnreachable."""
        self.complain(pod, message)
        status = self.waiting(pod, message, nominated)
        try:
            if status:
                await self._patch(pod, {"status": status})
        except ApiError as error:
            if not is_not_found(error):
                raise
            return False
        return True

    async def failed(self, pod: PodInfo, message: str) -> None:
        """Something else than a refusal went wrong. Never raises: the object itself may be what is wrong.

        The status is written only where the pod is as it was read: another scheduler may have bound it.
        """
        try:
            self.complain(pod, message)
            if status := self._waiting(pod, "SchedulerError", message, ""):
                read = {field: pod.pod["metadata"].get(field) for field in ("uid", "resourceVersion")}
                await self._patch(pod, {"metadata": read, "status": status})
        except (ApiError, ApiUnreachable) as error:
            log.info("%s: its status was not written: %s", pod.key, error)
        except Exception:
            log.exception("telling that %s failed", pod.key)

    async def waits_no_more(self, pod: PodInfo) -> None:
        """A more important pod gets the node that it is nominated to."""
        try:
            await self._patch(pod, {"status": {"nominatedNodeName": None}})
        except (ApiError, ApiUnreachable) as error:
            log.info("%s: its nomination was not taken back: %s", pod.key, error)

    async def evict(self, pod: PodInfo, victim: PodInfo, node: str) -> None:
        """The victim makes room for the pod. Raises ApiError or ApiUnreachable."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": PREEMPTED,
            "message": f"{pod.scheduler_name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": times.rfc3339(self._clock.now()),
        }
        try:
            await self._patch(victim, {"status": {"conditions": [condition]}})
            await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
        except ApiError as error:
            if not is_not_found(error):
                raise
            return
        note = f"Preempted by pod {pod.uid} on node {node}"
        recorder = self._recorders[pod.scheduler_name]
        recorder.event(victim.pod, "Normal", "Preempted", "Preempting", note, related=pod.pod)

    def waiting(self, pod: PodInfo, message: str, nominated: str | None) -> Object:
        """What `refused` writes: a patch of the pod's status."""
        return self._waiting(pod, "Unschedulable", message, nominated)

    async def _patch(self, pod: PodInfo, body: Object) -> None:
        await self._client.patch(PODS, pod.name, body, pod.namespace, kind="strategic", subresource="status")

    def _waiting(self, pod: PodInfo, reason: str, message: str, nominated: str | None) -> Object:
        """What is to be written of a pod without node, as a patch of its status; empty when it is there already."""
        status: Object = {}
        if (condition := self._not_scheduled(pod, reason, message)) is not None:
            status["conditions"] = [condition]
        if nominated is not None and nominated != pod.nominated_node:
            status["nominatedNodeName"] = nominated or None
        return status

    def _not_scheduled(self, pod: PodInfo, reason: str, message: str) -> Object | None:
        """Return the PodScheduled condition to write, or None when the pod carries it already."""
        current = pods.condition(pod.pod, "PodScheduled")
        if current is not None and (current.get("reason"), current.get("message")) == (reason, message):
            return None
        now = times.rfc3339(self._clock.now())
        since = current.get("lastTransitionTime") if current and current.get("status") == "False" else now
        return {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        }
