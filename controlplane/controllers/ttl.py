"""Node TTL: tells every kubelet, in an annotation of its Node, for how long it may keep Secrets and ConfigMaps before
it asks again: the longer, the more nodes there are (pkg/controller/ttl)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import NODES
from apimachinery.controller.loop import Controller
from apimachinery.controller.pictures import compute_picture
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "ttl-controller"
ANNOTATION = "node.alpha.kubernetes.io/ttl"


@dataclass(frozen=True, slots=True)
class Size:
    """A size of clusters, in nodes. Each overlaps the next, so that a node more or less does not change it."""

    least: int
    most: float
    seconds: int


SIZES = (Size(0, 100, 0), Size(90, 500, 15), Size(450, 1000, 30), Size(900, 2000, 60), Size(1800, float("inf"), 300))


def compute_size(before: int, nodes: int) -> int:
    """The index in SIZES of a cluster with so many nodes that had the size `before`."""
    size = before
    while nodes > SIZES[size].most:
        size += 1
    while nodes < SIZES[size].least:
        size -= 1
    return size


class TtlController:
    """Reconciles Nodes by name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._informer = context.informer(NODES)
        self._nodes = self._informer.lister
        self._size = 0
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self._informer.add_handler(self._seen, self._updated, lambda _: self._count())

    def recall(self, other: TtlController) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._size = other._size

    def picture(self, loop: str, key: str) -> Object:
        """The seconds that the Node should tell and those that it tells."""
        node = self._nodes.get(key)
        if node is None:
            return {"object": None, "rows": []}
        told = objects.annotations(node).get(ANNOTATION, "none")
        return {**compute_picture(node), "rows": [[f"seconds, with {len(self._nodes)} nodes", self._wanted(), told]]}

    async def run(self) -> None:
        """Work until cancelled; nothing is told before the nodes are counted."""
        await self._informer.wait_synced()
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Write the annotation where it is not so."""
        node = self._nodes.get(key)
        if node is None or self._is_told(node):
            return None
        try:
            await self._client.patch(
                NODES, key, {"metadata": {"annotations": {ANNOTATION: self._wanted()}}}, kind="merge"
            )
        except ApiError as error:
            if not is_not_found(error):
                raise
        return None

    def _wanted(self) -> str:
        return str(SIZES[self._size].seconds)

    def _is_told(self, node: Object) -> bool:
        return objects.annotations(node).get(ANNOTATION) == self._wanted()

    def _seen(self, node: Object) -> None:
        self._count()
        self._queue.add(objects.name(node))

    def _updated(self, old: Object, new: Object) -> None:
        # Heartbeats are most of a node's updates, and lead to nothing here.
        if not self._is_told(new):
            self._queue.add(objects.name(new))

    def _count(self) -> None:
        size = compute_size(self._size, len(self._nodes))
        if size != self._size:
            self._size = size
            # Upstream waits for each node's next heartbeat.
            for node in self._nodes.list():
                self._queue.add(objects.name(node))
