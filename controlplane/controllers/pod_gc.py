"""Pod GC: deletes pods that nobody will ever finish: of nodes that are gone, never scheduled, or ended too many.

One pass every 20 seconds (pkg/controller/podgc).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError, is_not_found
from apimachinery.meta.taints import OUT_OF_SERVICE
from controlplane.controllers.context import Context

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME = "pod-garbage-collector-controller"
ALL = "all-pods"
PERIOD = 20.0
# A node that was not seen for so long is asked for at the API itself, then its pods are deleted.
QUARANTINE = 40.0


def plan_terminated(all_pods: Iterable[Object], threshold: int) -> list[Object]:
    """Return the ended pods beyond `threshold`, oldest first; evicted ones before others. 0 keeps all."""
    if threshold <= 0:
        return []
    ended = [pod for pod in all_pods if pods.is_terminal(pod)]
    ended.sort(
        key=lambda pod: (
            (pod.get("status") or {}).get("reason") != "Evicted",
            pod["metadata"].get("creationTimestamp") or "",
            objects.name(pod),
        )
    )
    return ended[: max(0, len(ended) - threshold)]


def plan_unscheduled(all_pods: Iterable[Object]) -> list[Object]:
    """Return pods that are being deleted and have no node, so that no kubelet will confirm."""
    return [pod for pod in all_pods if objects.is_deleting(pod) and not pods.node_name(pod)]


def plan_out_of_service(all_pods: Iterable[Object], nodes: Iterable[Object]) -> list[Object]:
    """Return deleting pods on nodes that are not Ready and that someone declared out of service (KEP-2268)."""
    gone = {
        objects.name(node)
        for node in nodes
        if any(t.get("key") == OUT_OF_SERVICE for t in (node.get("spec") or {}).get("taints") or ())
        and (pods.condition(node, "Ready") or {}).get("status") != "True"
    }
    return [pod for pod in all_pods if objects.is_deleting(pod) and pods.node_name(pod) in gone]


class PodGarbageCollector:
    """Looks at all pods periodically: its only key."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._threshold = context.config.terminated_pod_threshold
        self._pod_informer, self._node_informer = context.informer(PODS), context.informer(NODES)
        self._missing_since: dict[str, float] = {}
        self._queue = WorkQueue(context.clock, cap=PERIOD)
        self.loop = Controller(NAME, self.reconcile, self._queue)

    def recall(self, other: PodGarbageCollector) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._missing_since = dict(other._missing_since)

    def picture(self, loop: str, key: str) -> Object:
        """Of each reason to delete pods: how many there should be, and how many there are. Nodes that are missing are
        asked for at the API itself before their pods go."""
        all_pods, nodes = self._pod_informer.lister.list(), self._node_informer.lister.list()
        known = {objects.name(node) for node in nodes}
        missing = [pod for pod in all_pods if pods.node_name(pod) and pods.node_name(pod) not in known]
        rows = [
            ["ended beyond the threshold", 0, len(plan_terminated(all_pods, self._threshold))],
            ["of nodes out of service", 0, len(plan_out_of_service(all_pods, nodes))],
            ["of nodes that are missing", 0, len(missing)],
            ["deleted and never scheduled", 0, len(plan_unscheduled(all_pods))],
        ]
        return {"rows": rows}

    async def run(self) -> None:
        """Work until cancelled."""
        await self._pod_informer.wait_synced()
        await self._node_informer.wait_synced()
        self._queue.add(ALL)
        await self.loop.run()

    async def reconcile(self, key: str) -> float:
        """Delete what is to be deleted now."""
        all_pods, nodes = self._pod_informer.lister.list(), self._node_informer.lister.list()
        orphans = await self._orphans(all_pods, {objects.name(node) for node in nodes})
        doomed = {
            objects.uid(pod): pod
            for pod in (
                *plan_terminated(all_pods, self._threshold),
                *plan_out_of_service(all_pods, nodes),
                *orphans,
                *plan_unscheduled(all_pods),
            )
        }
        orphaned = {objects.uid(pod) for pod in orphans}
        await asyncio.gather(*(self._delete(pod, orphaned=uid in orphaned) for uid, pod in doomed.items()))
        return PERIOD

    async def _orphans(self, all_pods: list[Object], known: set[str]) -> list[Object]:
        """Return pods of nodes that do not exist, each asked for live: the lister may be behind."""
        now = self._clock.monotonic()
        missing = {pods.node_name(pod) for pod in all_pods if pods.node_name(pod)} - known
        self._missing_since = {name: self._missing_since.get(name, now) for name in missing}
        gone = set()
        for name, since in self._missing_since.items():
            if now - since < QUARANTINE:
                continue
            try:
                await self._client.get(NODES, name)
            except ApiError as error:
                if not is_not_found(error):
                    raise
                gone.add(name)
        return [pod for pod in all_pods if pods.node_name(pod) in gone]

    async def _delete(self, pod: Object, *, orphaned: bool) -> None:
        name, namespace = objects.name(pod), objects.namespace(pod)
        log.info("PodGC is force deleting Pod %s/%s", namespace, name)
        try:
            if not pods.is_terminal(pod):
                # Whoever counts on the pod (a Job) must see that it failed before it vanishes.
                await self._client.patch(
                    PODS, name, {"status": self._failed(orphaned)}, namespace, kind="strategic", subresource="status"
                )
            await self._client.delete(PODS, name, namespace, uid=objects.uid(pod), grace_period=0)
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _failed(self, orphaned: bool) -> Object:
        status: Object = {"phase": "Failed"}
        if orphaned:
            status["conditions"] = [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                    "lastTransitionTime": times.rfc3339(self._clock.now()),
                }
            ]
        return status
