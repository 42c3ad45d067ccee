"""Taint eviction: deletes pods that do not, or no longer, tolerate a NoExecute taint of their node (KEP-3902).

tolerationSeconds count on the monotonic clock from when we first saw such a taint on the node: a jump of the wall clock
evicts nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.controller.event_parts import bare
from apimachinery.controller.loop import Controller
from apimachinery.controller.pictures import compute_picture
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods, taints, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import BY_NODE, Context

Object = dict[str, Any]

NAME = "taint-eviction-controller"


def plan_eviction(node_taints: Sequence[Mapping[str, Any]], tolerations: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how many seconds the pod may stay: 0 for not at all, None for ever.

    Every NoExecute taint must be tolerated. Of each the first toleration that does so is used, and of those used the
    shortest tolerationSeconds counts.
    """
    shortest: float | None = None
    for taint in node_taints:
        if taint.get("effect") != taints.NO_EXECUTE:
            continue
        used = next((t for t in tolerations if taints.tolerates(t, taint)), None)
        if used is None:
            return 0.0
        if (seconds := used.get("tolerationSeconds")) is not None:
            limit = max(0.0, float(seconds))
            shortest = limit if shortest is None else min(shortest, limit)
    return shortest


class TaintEvictionController:
    """Reconciles Pods on tainted nodes."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._node_informer, self._pod_informer = context.informer(NODES), context.informer(PODS)
        self._nodes, self._pods = self._node_informer.lister, self._pod_informer.lister
        self._recorder = context.recorder(NAME)
        # When a pod's stay began to be limited and when it is over, by uid. Neither moves while it is limited, whatever
        # is tolerated for how long by then, as upstream: not-ready that turns into unreachable does not begin anew.
        self._stays: dict[str, tuple[float, float]] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=8)
        self._node_informer.add_handler(self._node_changed, self._node_updated)
        self._pod_informer.add_handler(self._pod_changed, self._pod_updated, self._pod_gone)

    def recall(self, other: TaintEvictionController) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._stays = dict(other._stays)

    def picture(self, loop: str, key: str) -> Object:
        """Each taint that evicts, and for how long the pod tolerates it."""
        pod = self._pods.get_by_key(key)
        if pod is None:
            return {"object": None, "rows": []}
        picture, node = compute_picture(pod), self._nodes.get(pods.node_name(pod))
        tolerations = (pod.get("spec") or {}).get("tolerations") or ()
        for taint in _no_execute(node) if node is not None else ():
            seconds = plan_eviction([taint], tolerations)
            how = "tolerated" if seconds is None else f"tolerated for {seconds:g} s" if seconds else "not tolerated"
            picture["rows"].append([f"{taint['key']} of {pods.node_name(pod)}", "tolerated", how])
        stay = self._stays.get(objects.uid(pod))
        if stay is not None:
            picture["rows"].append(["seconds with them", 0, round(self._clock.monotonic() - stay[0], 1)])
        return picture

    async def run(self) -> None:
        """Work until cancelled."""
        await self._node_informer.wait_synced()
        await self._pod_informer.wait_synced()
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Evict the pod, or come back when its time is over."""
        pod = self._pods.get_by_key(key)
        if pod is None or objects.is_deleting(pod):
            return None
        node = self._nodes.get(pods.node_name(pod))
        evicting = _no_execute(node) if node is not None else []
        seconds = plan_eviction(evicting, (pod.get("spec") or {}).get("tolerations") or ())
        uid = objects.uid(pod)
        if seconds is None:
            if self._stays.pop(uid, None) is not None:
                self._say(pod, f"Cancelling deletion of Pod {key}")
            return None
        now = self._clock.monotonic()
        _, end = self._stays.setdefault(uid, (now, now + seconds))
        if seconds > 0 and end > now:
            return end - now
        await self._evict(pod, key)
        return None

    async def _evict(self, pod: Object, key: str) -> None:
        self._say(pod, f"Marking for deletion Pod {key}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": times.rfc3339(self._clock.now()),
        }
        name, namespace = objects.name(pod), objects.namespace(pod)
        try:
            await self._client.patch(
                PODS, name, {"status": {"conditions": [condition]}}, namespace, kind="strategic", subresource="status"
            )
            await self._client.delete(PODS, name, namespace, uid=objects.uid(pod))
        except ApiError as error:
            if not is_not_found(error):
                raise
        self._stays.pop(objects.uid(pod), None)

    def _say(self, pod: Object, message: str) -> None:
        self._recorder.event(bare(pod, uid=""), "Normal", "TaintManagerEviction", message)

    def _node_changed(self, node: Object) -> None:
        if _no_execute(node):
            for pod in self._pods.by_index(BY_NODE, objects.name(node)):
                self._queue.add(objects.key(pod))

    def _node_updated(self, old: Object, new: Object) -> None:
        if _no_execute(old) != _no_execute(new):
            for pod in self._pods.by_index(BY_NODE, objects.name(new)):
                self._queue.add(objects.key(pod))

    def _pod_changed(self, pod: Object) -> None:
        node = self._nodes.get(pods.node_name(pod)) if pods.node_name(pod) else None
        # Before the nodes have synced one cannot know: look at it then.
        if pods.node_name(pod) and (not self._node_informer.has_synced or (node is not None and _no_execute(node))):
            self._queue.add(objects.key(pod))

    def _pod_updated(self, old: Object, new: Object) -> None:
        before, after = old.get("spec") or {}, new.get("spec") or {}
        if (before.get("nodeName"), before.get("tolerations")) != (after.get("nodeName"), after.get("tolerations")):
            self._pod_changed(new)

    def _pod_gone(self, pod: Object) -> None:
        self._stays.pop(objects.uid(pod), None)


def _no_execute(node: Object) -> list[Object]:
    return [t for t in (node.get("spec") or {}).get("taints") or () if t.get("effect") == taints.NO_EXECUTE]
