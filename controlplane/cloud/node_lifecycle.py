"""The other half of the node loop: a Node whose machine was deleted in the hypervisor goes, one whose machine is turned
off is tainted (cloud-node-lifecycle-controller). Only silent nodes are asked about."""

from __future__ import annotations

import logging

from apimachinery.api.catalogue import NODES
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.event_parts import bare
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.cloud.context import Context, Object
from controlplane.cloud.node_plan import plan_shutdown
from controlplane.cloud.provider import CloudProblem

log = logging.getLogger(__name__)

NAME = "cloud-node-lifecycle-controller"
_ALL = "nodes"


class CloudNodeLifecycleController:
    """One key: a pass over all Nodes."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._instances = context.client, context.cloud.instances
        self._period = context.periods.monitor
        self._informer = context.informers.get(NODES)
        self._recorder = context.recorder(NAME)
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._informer.wait_synced()
        self._queue.add(_ALL)
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Look at every node once; one that cannot be judged disturbs no other."""
        for node in self._informer.lister.list():
            try:
                await self._look(node)
            except CloudProblem as problem:
                log.error("error checking if node %s exists: %s", objects.name(node), problem)
            except ApiUnreachable as error:
                log.warning("%s: %s", objects.name(node), error)
            except ApiError as error:
                if not is_not_found(error):
                    log.warning("%s: %s", objects.name(node), error)
        return self._period

    async def _look(self, node: Object) -> None:
        if pods.is_ready(node):
            await self._taint(node, off=False)
        elif await self._instances.exists(node):
            if await self._instances.shutdown(node):
                await self._taint(node, off=True)
        else:
            await self._delete(node)

    async def _delete(self, node: Object) -> None:
        name = objects.name(node)
        log.info("deleting node since it is no longer present in cloud provider: %s", name)
        message = f"Deleting node {name} because it does not exist in the cloud provider"
        about = bare(node, uid=objects.uid(node), api_version="")
        self._recorder.event(about, "Normal", "DeletingNode", message)
        try:
            # By uid: a machine made anew under the same name may have registered meanwhile.
            await self._client.delete(NODES, name, uid=objects.uid(node))
        except ApiError as error:
            if not is_not_found(error):
                self._recorder.event(about, "Warning", "DeletingNodeFailed", f"Failed deleting node {name}: {error}")
            raise

    async def _taint(self, node: Object, *, off: bool) -> None:
        wanted = plan_shutdown(node, off)
        if wanted is not None:
            # A list is replaced as a whole, so the write holds only for the version it was computed from.
            body = {
                "metadata": {"resourceVersion": objects.resource_version(node)},
                "spec": {"taints": wanted or None},
            }
            await self._client.patch(NODES, objects.name(node), body, kind="merge")
