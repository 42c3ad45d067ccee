"""The node loop: a Node that registers is told what machine it is on, and may then be used; its addresses follow the
cloud's (cloud-node-controller)."""

from __future__ import annotations

import logging

from apimachinery.api.catalogue import NODES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.cloud.context import Context, Object
from controlplane.cloud.node_plan import is_uninitialized, plan_addresses, plan_initialization, plan_labels, taints_of
from controlplane.cloud.provider import CloudProblem, InstanceMetadata

log = logging.getLogger(__name__)

NAME = "cloud-node-controller"
_RETRY = 5.0


class CloudNodeController:
    """Reconciles Nodes by name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._instances = context.client, context.cloud.instances
        self._period = context.periods.status
        self._informer = context.informers.get(NODES)
        self._nodes = self._informer.lister
        self._recorder = context.recorder(NAME)
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self._informer.add_handler(lambda node: self._queue.add(objects.name(node)), self._updated)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._informer.wait_synced()
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Initialize the node, or keep what it says of its machine current."""
        node = self._nodes.get(key)
        if node is None or objects.is_deleting(node):
            return None
        try:
            found = await self._instances.metadata(node)
            if is_uninitialized(node):
                node = await self._initialize(node, found)
            await self._ensure_labels(node)
            await self._ensure_addresses(node, found)
        except CloudProblem as problem:
            log.warning("failed to get instance metadata for node %s: %s", key, problem)
            return _RETRY
        except ApiError as error:
            if not is_not_found(error):
                raise
            return None
        return self._period

    async def _initialize(self, node: Object, found: InstanceMetadata) -> Object:
        name = objects.name(node)
        log.info("Initializing node %s with cloud provider", name)
        made = await self._client.patch(NODES, name, plan_initialization(node, found), kind="merge")
        log.info("Successfully initialized node %s with cloud provider", name)
        self._recorder.event(node, "Normal", "Synced", "Node synced successfully")
        return made

    async def _ensure_labels(self, node: Object) -> None:
        if missing := plan_labels(node):
            await self._client.patch(NODES, objects.name(node), {"metadata": {"labels": missing}}, kind="merge")

    async def _ensure_addresses(self, node: Object, found: InstanceMetadata) -> None:
        wanted = plan_addresses(node, found)
        if wanted is not None:
            body = {"status": {"addresses": wanted}}
            await self._client.patch(NODES, objects.name(node), body, kind="merge", subresource="status")

    def _updated(self, old: Object, new: Object) -> None:
        # Heartbeats are most of a node's updates, and lead to nothing here.
        if (taints_of(old), objects.labels(old), _addresses(old)) != (
            taints_of(new), objects.labels(new), _addresses(new),
        ):  # fmt: skip
            self._queue.add(objects.name(new))


def _addresses(node: Object) -> object:
    return (node.get("status") or {}).get("addresses")
