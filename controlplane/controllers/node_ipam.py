"""Node IPAM: every node gets a subnet of the cluster's pod addresses (RangeAllocator, pkg/controller/nodeipam)."""

from __future__ import annotations

import ipaddress
from typing import Any

from apimachinery.api.catalogue import NODES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.config import Network
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "node-ipam-controller"


class SubnetPool:
    """The subnets of one size within a range, free or taken. Taking the next free one is O(1) amortized."""

    def __init__(self, cluster: Network, prefix: int, reserved: Network | None = None) -> None:
        """prefix: length of each subnet's prefix. reserved: a range within the cluster's to stay out of."""
        self._cluster, self._prefix = cluster, prefix
        self.count = 1 << (prefix - cluster.prefixlen)
        self._taken: set[int] = set()
        self._next = 0
        if reserved is not None and reserved.version == cluster.version and reserved.overlaps(cluster):
            first, last = self._index(reserved.network_address), self._index(reserved.broadcast_address)
            self._taken.update(range(max(first, 0), min(last, self.count - 1) + 1))

    def take(self) -> str | None:
        """Take the next free subnet after the last one taken, round and round; None when all are taken."""
        for step in range(self.count):
            index = (self._next + step) % self.count
            if index not in self._taken:
                self._taken.add(index)
                self._next = index + 1
                return str(self._subnet(index))
        return None

    def occupy(self, cidr: str) -> bool:
        """Mark a subnet that a node has already. False when it is not of this range. Raises ValueError for no CIDR."""
        network = ipaddress.ip_network(cidr)
        index = self._index(network.network_address)
        if network.version != self._cluster.version or not 0 <= index < self.count:
            return False
        self._taken.add(index)
        return True

    def release(self, cidr: str) -> None:
        """Give a subnet back; one that is not of this range is ignored."""
        self._taken.discard(self._index(ipaddress.ip_network(cidr).network_address))

    def _index(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
        return (int(address) - int(self._cluster.network_address)) >> (self._cluster.max_prefixlen - self._prefix)

    def _subnet(self, index: int) -> Network:
        offset = index << (self._cluster.max_prefixlen - self._prefix)
        kind = ipaddress.IPv4Network if self._cluster.version == 4 else ipaddress.IPv6Network
        return kind((int(self._cluster.network_address) + offset, self._prefix))


class NodeIpamController:
    """Reconciles Nodes; one worker, because the pool is shared."""

    name = NAME

    def __init__(self, context: Context) -> None:
        config = context.config
        if config.cluster_cidr is None:
            raise ValueError("node IPAM needs a cluster CIDR")
        self._client, self._recorder = context.client, context.recorder("cidrAllocator")
        self._pool = SubnetPool(config.cluster_cidr, config.node_mask, config.service_cidr)
        self._informer = context.informer(NODES)
        self._nodes = self._informer.lister
        self._given: dict[str, str] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self._informer.add_handler(self._changed, on_delete=self._gone)

    async def run(self) -> None:
        """Work until cancelled; the first subnet is given when every node's own is known."""
        await self._informer.wait_synced()
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Give the node a subnet if it has none."""
        node = self._nodes.get(key)
        if node is None or _cidr_of(node) or objects.is_deleting(node):
            return None
        cidr = self._given.get(key) or self._pool.take()
        if cidr is None:
            message = f"Node {key} status is now: CIDRNotAvailable"
            self._recorder.event(node, "Normal", "CIDRNotAvailable", message)
            return 60.0
        # Kept until the node shows it: after a lost answer the same subnet is offered again.
        self._given[key] = cidr
        try:
            await self._client.patch(NODES, key, {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}, kind="merge")
        except ApiError as error:
            if not is_not_found(error):
                raise
            self._pool.release(self._given.pop(key))
        return None

    def _changed(self, node: Object) -> None:
        cidr = _cidr_of(node)
        if not cidr:
            self._queue.add(objects.name(node))
            return
        given = self._given.pop(objects.name(node), None)
        if given is not None and given != cidr:
            self._pool.release(given)
        self._pool.occupy(cidr)

    def _gone(self, node: Object) -> None:
        cidr = _cidr_of(node) or self._given.get(objects.name(node))
        self._given.pop(objects.name(node), None)
        if cidr:
            self._pool.release(cidr)


def _cidr_of(node: Object) -> str:
    return str((node.get("spec") or {}).get("podCIDR") or "")
