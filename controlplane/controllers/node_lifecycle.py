"""Node lifecycle: notices dead nodes, says so in their conditions, taints them, and marks their pods not ready.

One pass over all nodes every five seconds (--node-monitor-period), in a loop of its own; the rules are in
node_health.py. Evicting is the taint eviction controller's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery.api.catalogue import LEASES, NODES, PODS
from apimachinery.controller.event_parts import bare
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers import observed
from controlplane.controllers.context import BY_NODE, Context
from controlplane.controllers.node_health import (
    Heard,
    eviction_rates,
    has_spoken,
    hear,
    is_silent,
    plan_labels,
    plan_no_execute,
    plan_no_schedule,
    readiness_by_zone,
    ready_status,
    unknown_conditions,
    zone_of,
)

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME = "node-lifecycle-controller"
MONITOR = f"{NAME}: monitor"
ALL = "all-nodes"
LEASE_NAMESPACE = "kube-node-lease"


class NodeLifecycleController:
    """Watches over Nodes. Keys of `loop`: names of nodes whose taints must follow their conditions. `monitor` has one
    key, a look at all of them."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._config = context.client, context.clock, context.config
        self._node_informer = context.informer(NODES)
        self._lease_informer = context.informers.get(LEASES, namespace=LEASE_NAMESPACE)
        self._pod_informer = context.informer(PODS)
        self._nodes, self._leases, self._pods = (
            self._node_informer.lister,
            self._lease_informer.lister,
            self._pod_informer.lister,
        )
        self._recorder = context.recorder("node-controller")
        self._heard: dict[str, Heard] = {}
        self._known: dict[str, Object] = {}
        self._marked: set[str] = set()
        self._may_evict_at: dict[str, float] = {}
        self._all_down = False
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=4)
        # A pass that failed is tried again when the next one is due.
        period = self._config.node_monitor_period
        self._rounds = WorkQueue(context.clock, base=period, cap=period)
        self.monitor = Controller(MONITOR, self.look, self._rounds)
        self._node_informer.add_handler(lambda node: self._queue.add(objects.name(node)))

    def recall(self, other: NodeLifecycleController) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._heard, self._known, self._marked = dict(other._heard), dict(other._known), set(other._marked)
        self._may_evict_at, self._all_down = dict(other._may_evict_at), other._all_down

    def picture(self, loop: str, key: str) -> Object | None:
        """Of a look at all nodes: how long each may be silent, and since when nothing was heard of it."""
        if loop != MONITOR:
            return None
        rows = []
        for node in sorted(self._nodes.list(), key=objects.name):
            heard, now = self._hear(node), self._clock.monotonic()
            grace = self._config.node_monitor_grace_period if heard.ever else self._config.node_startup_grace_period
            how = f"no, not for {now - heard.at:.0f} s" if self._is_silent(heard, now) else "yes"
            rows.append([f"{objects.name(node)} heard within {grace:g} s", "yes", how])
            rows.append([f"{objects.name(node)} Ready", "True", ready_status(node)])
        return {"rows": rows}

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in (self._node_informer, self._lease_informer, self._pod_informer):
            await informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.run())
            self._rounds.add(ALL)
            group.create_task(self.monitor.run())

    async def reconcile(self, key: str) -> float | None:
        """Let the NoSchedule taints of one node follow its conditions and its cordon, and its old labels the new."""
        node = self._nodes.get(key)
        if node is None:
            return None
        wanted = plan_no_schedule(node, times.rfc3339(self._clock.now()))
        if wanted is not None:
            await self._write_taints(node, wanted)
        if labels := plan_labels(node):
            try:
                await self._client.patch(NODES, key, {"metadata": {"labels": labels}}, kind="merge")
            except ApiError as error:
                if not is_not_found(error):
                    raise
        return None

    async def look(self, key: str) -> float | None:
        """Look at every node once."""
        nodes = self._nodes.list()
        self._note_membership(nodes)
        results = await asyncio.gather(*(self._observe(node) for node in nodes), return_exceptions=True)
        nodes = [result for result in results if isinstance(result, dict)]
        await self._evict(nodes)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return self._config.node_monitor_period

    def _note_membership(self, nodes: list[Object]) -> None:
        present = {objects.name(node): node for node in nodes}
        for name in present.keys() - self._known.keys():
            message = f"Node {name} event: Registered Node {name} in Controller"
            self._say(present[name], "RegisteredNode", message)
        for name in self._known.keys() - present.keys():
            message = f"Node {name} event: Removing Node {name} from Controller"
            self._say(self._known[name], "RemovingNode", message)
            self._heard.pop(name, None)
            self._marked.discard(name)
        self._known = present

    async def _observe(self, node: Object) -> Object:
        """Judge one node's silence; returns the node as it is after that."""
        name, now = objects.name(node), self._clock.monotonic()
        heard = self._heard[name] = self._hear(node)
        if self._is_silent(heard, now):
            changed = unknown_conditions(node, times.rfc3339(self._clock.now()))
            if changed:
                body = {"status": {"conditions": changed}}
                was_ready = ready_status(node) == "True"
                node = await self._client.patch(NODES, name, body, kind="strategic", subresource="status")
                if was_ready:
                    self._say(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
                # Our own write is no sign of life.
                self._heard[name] = Heard(hear(node, self._leases.get(name, LEASE_NAMESPACE), None, now).sign,
                                          heard.at, heard.ever)  # fmt: skip
        # A node that never spoke is none of ours before its grace period is over; one that says it is not ready speaks
        # for its pods itself.
        if not has_spoken(node) or ready_status(node) != "Unknown":
            self._marked.discard(name)
        elif name not in self._marked:
            await self._mark_pods_not_ready(name)
            self._marked.add(name)
        return node

    def _hear(self, node: Object) -> Heard:
        name = objects.name(node)
        lease = self._leases.get(name, LEASE_NAMESPACE)
        return hear(node, lease, self._heard.get(name), self._clock.monotonic())

    def _is_silent(self, heard: Heard, now: float) -> bool:
        config = self._config
        return is_silent(heard, now, config.node_monitor_grace_period, config.node_startup_grace_period)

    async def _mark_pods_not_ready(self, name: str) -> None:
        """Take the node's pods out of Services: nobody else can, while the kubelet is silent."""
        now = times.rfc3339(self._clock.now())
        for pod in self._pods.by_index(BY_NODE, name):
            if not pods.is_ready(pod):
                continue
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": now}
            try:
                await self._client.patch(
                    PODS,
                    objects.name(pod),
                    {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [condition]}},
                    objects.namespace(pod),
                    kind="strategic",
                    subresource="status",
                )
            except ApiError as error:
                if not is_not_found(error):
                    raise
                continue
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _evict(self, nodes: list[Object]) -> None:
        """Put NoExecute taints on nodes that are not Ready, as fast as their zone allows, and take them off others.

        A node without a Ready condition counts as down in its zone and is left alone.
        """
        zones = readiness_by_zone(nodes)
        rates = eviction_rates(
            zones,
            normal=self._config.node_eviction_rate,
            secondary=self._config.secondary_node_eviction_rate,
            large=self._config.large_cluster_size_threshold,
            unhealthy=self._config.unhealthy_zone_threshold,
        )
        all_down = bool(rates) and all(rate == 0.0 for rate in rates.values()) and not any(map(any, zones.values()))
        if all_down != self._all_down:
            self._all_down = all_down
            log.warning(
                "Controller detected that %s",
                "all Nodes are not-Ready. Entering master disruption mode."
                if all_down
                else "some Nodes are Ready. Exiting master disruption mode.",
            )
            if not all_down:
                # The silence was ours: every node gets its full grace period again.
                now = self._clock.monotonic()
                self._heard = {name: Heard(heard.sign, now, heard.ever) for name, heard in self._heard.items()}
        stamp = times.rfc3339(self._clock.now())
        for node in nodes:
            zone, now = zone_of(node), self._clock.monotonic()
            rate = rates.get(zone, self._config.node_eviction_rate)  # of a zone without a node that counts
            evict = rate > 0 and now >= self._may_evict_at.get(zone, 0.0)
            wanted = plan_no_execute(node, evict=evict, stamp=stamp)
            if all_down:
                wanted = _without_eviction(node)
            elif not has_spoken(node):
                continue
            if wanted is None:
                continue
            written = await self._write_taints(node, wanted)
            if evict and ready_status(node) != "True":
                self._may_evict_at[zone] = now + 1 / rate
                if written and _without_eviction(node) is None:
                    observed.node_evicted(zone)

    async def _write_taints(self, node: Object, wanted: list[Object]) -> bool:
        """Whether the node has them now."""
        # A list is replaced as a whole, so the write holds only for the version it was computed from.
        body = {
            "metadata": {"resourceVersion": objects.resource_version(node)},
            "spec": {"taints": wanted or None},
        }
        try:
            await self._client.patch(NODES, objects.name(node), body, kind="merge")
        except ApiError as error:
            if is_not_found(error):
                return False
            self._queue.add_rate_limited(objects.name(node))
            if error.reason != "Conflict":
                raise
            return False
        return True

    def _say(self, node: Object, reason: str, message: str) -> None:
        self._recorder.event(bare(node, uid=objects.uid(node)), "Normal", reason, message)


def _without_eviction(node: Object) -> list[Object] | None:
    """Return the taints without those that evict, or None when there are none: nobody is evicted in full disruption."""
    current = (node.get("spec") or {}).get("taints") or []
    kept = [
        t for t in current
        if not (
            t.get("effect") == "NoExecute"
            and t["key"] in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        )
    ]  # fmt: skip
    return None if len(kept) == len(current) else kept
