"""The CSINode: which drivers this node has, and how many volumes it takes (pkg/volume/csi/nodeinfomanager)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery.api.catalogue import CSINODES, NODES
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta.attachments import DISK_DRIVER
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found

log = logging.getLogger(__name__)

Object = dict[str, Any]

MOST_DISKS = 20  # of the 32 slots of a machine's PCI bus
_RETRY = 1.0


class CsiNode:
    """Makes the CSINode say whether the one driver that this kubelet has built in is of use here.

    attachable: whether there is somebody who plugs disks into this machine.
    """

    def __init__(
        self, client: Client, node: str, registered: Callable[[], Awaitable[None]], clock: Clock, *, attachable: bool
    ) -> None:
        self._client, self._node, self._registered, self._clock = client, node, registered, clock
        self._wanted = with_driver if attachable else without_driver

    async def run(self, stop: asyncio.Event) -> None:
        """Return when the CSINode is as it should be; from when the Node is there, try again until then."""
        await self._registered()
        while not stop.is_set():
            try:
                await self._register()
                return
            except (ApiError, ApiUnreachable) as error:
                log.warning("Registering the driver %s: %s", DISK_DRIVER, error)
            await self._clock.sleep(_RETRY)

    async def _register(self) -> None:
        node = await self._client.get(NODES, self._node)
        try:
            present = await self._client.get(CSINODES, self._node)
        except ApiError as error:
            if not is_not_found(error):
                raise
            try:
                await self._client.create(CSINODES, self._wanted(new_csi_node(node)))
            except ApiError as lost:
                if not is_already_exists(lost):
                    raise
            return
        wanted = self._wanted(present)
        if wanted != present:
            await self._client.update(CSINODES, wanted)


def new_csi_node(node: Object) -> Object:
    """A CSINode without drivers, which goes with its Node. Pure."""
    metadata = node["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": metadata["name"], "ownerReferences": [owner]},
        "spec": {"drivers": []},
    }


def with_driver(csi_node: Object) -> Object:
    """The CSINode with our driver; one that is there stays as it is. Pure."""
    drivers = (csi_node.get("spec") or {}).get("drivers") or []
    if any(each.get("name") == DISK_DRIVER for each in drivers):
        return csi_node
    ours = {"name": DISK_DRIVER, "nodeID": csi_node["metadata"]["name"], "allocatable": {"count": MOST_DISKS}}
    return {**csi_node, "spec": {**csi_node["spec"], "drivers": [*drivers, ours]}}


def without_driver(csi_node: Object) -> Object:
    """The CSINode without our driver, which an earlier start may have listed; others stay. Pure."""
    drivers = (csi_node.get("spec") or {}).get("drivers") or []
    kept = [each for each in drivers if each.get("name") != DISK_DRIVER]
    return csi_node if kept == drivers else {**csi_node, "spec": {**csi_node["spec"], "drivers": kept}}
