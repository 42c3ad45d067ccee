"""Node IPAM: every node gets a subnet of the cluster's pod addresses, one of each family (RangeAllocator,
pkg/controller/nodeipam)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import NODES
from apimachinery.controller.event_parts import bare
from apimachinery.controller.loop import Controller
from apimachinery.controller.pictures import compute_picture
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.addresses import parse_cidr
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
        if reserved is not None:
            self._taken.update(self._touched(reserved))

    def copy(self) -> SubnetPool:
        """Another in which the same are taken, and which takes by itself."""
        other = SubnetPool(self._cluster, self._prefix)
        other._taken, other._next = set(self._taken), self._next
        return other

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
        """Mark a subnet that a node has already. False when it is not of this range.

        It may be of another size, from before the mask was changed: whatever shares an address with it is taken.
        """
        touched = self._touched(parse_cidr(cidr))
        self._taken.update(touched)
        return bool(touched)

    def holds(self, cidr: str) -> bool:
        """Whether the subnet has addresses of this range."""
        return bool(self._touched(parse_cidr(cidr)))

    def release(self, cidr: str) -> None:
        """Give a subnet back; one that is not of this range is ignored."""
        self._taken.difference_update(self._touched(parse_cidr(cidr)))

    def _touched(self, network: Network | None) -> range:
        """The indexes of the subnets that share an address with the network."""
        if network is None or network.version != self._cluster.version:
            return range(0)
        first, last = self._index(network.network_address), self._index(network.broadcast_address)
        return range(max(first, 0), min(last, self.count - 1) + 1)

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
        services = [cidr for cidr in (config.service_cidr, config.second_service_cidr) if cidr is not None]

        def pool(cluster: Network, mask: int) -> SubnetPool:
            return SubnetPool(cluster, mask, next((cidr for cidr in services if cidr.version == cluster.version), None))

        self._pools = [pool(config.cluster_cidr, config.node_mask)]
        if config.second_cluster_cidr is not None:
            self._pools.append(pool(config.second_cluster_cidr, config.second_node_mask))
        self._informer = context.informer(NODES)
        self._nodes = self._informer.lister
        self._given: dict[str, tuple[str, ...]] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self._informer.add_handler(self._changed, on_delete=self._gone)

    def recall(self, other: NodeIpamController) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._pools, self._given = [pool.copy() for pool in other._pools], dict(other._given)

    def picture(self, loop: str, key: str) -> Object:
        """How many subnets the node should have, and which it has."""
        node = self._nodes.get(key)
        if node is None:
            return {"object": None, "rows": []}
        picture, cidrs = compute_picture(node), _cidrs_of(node)
        picture["rows"].append(["pod subnets", len(self._pools), len(cidrs)])
        return picture

    async def run(self) -> None:
        """Work until cancelled; the first subnet is given when every node's own is known."""
        await self._informer.wait_synced()
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Give the node a subnet, or one of each family, if it has none."""
        node = self._nodes.get(key)
        if node is None or _cidrs_of(node) or objects.is_deleting(node):
            return None
        cidrs = self._given.get(key) or self._take()
        if not cidrs:
            self._say(node, "CIDRNotAvailable")
            return 60.0
        # Kept until the node shows it: after a lost answer the same subnet is offered again.
        self._given[key] = cidrs
        try:
            spec = {"podCIDR": cidrs[0], "podCIDRs": [*cidrs]}
            await self._client.patch(NODES, key, {"spec": spec}, kind="merge")
        except ApiError as error:
            if not is_not_found(error):
                self._say(node, "CIDRAssignmentFailed")
                raise
            self._release(self._given.pop(key))
        return None

    def _say(self, node: Object, status: str) -> None:
        message = f"Node {objects.name(node)} status is now: {status}"
        self._recorder.event(bare(node, uid=objects.uid(node)), "Normal", status, message)

    def _take(self) -> tuple[str, ...]:
        """One of each pool; of none, and empty, when one has none left."""
        found = [pool.take() for pool in self._pools]
        cidrs = tuple(cidr for cidr in found if cidr is not None)
        if len(cidrs) == len(found):
            return cidrs
        self._release(cidrs)
        return ()

    def _release(self, cidrs: Iterable[str]) -> None:
        for cidr in cidrs:
            for pool in self._pools:
                if pool.holds(cidr):
                    pool.release(cidr)

    def _changed(self, node: Object) -> None:
        cidrs = _cidrs_of(node)
        if not cidrs:
            self._queue.add(objects.name(node))
            return
        self._release(set(self._given.pop(objects.name(node), ())) - set(cidrs))
        for cidr in cidrs:
            for pool in self._pools:
                pool.occupy(cidr)

    def _gone(self, node: Object) -> None:
        given = self._given.pop(objects.name(node), ())
        self._release(_cidrs_of(node) or given)


def _cidrs_of(node: Object) -> tuple[str, ...]:
    spec = node.get("spec") or {}
    return tuple(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))
