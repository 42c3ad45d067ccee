"""NodeVolumeLimits: a CSI driver attaches so many volumes to a node and no more (CSINode.spec.drivers)."""

from __future__ import annotations

from apimachinery.meta import volumes
from controlplane.scheduler.framework import FITS, Change, Filter, Verdict, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.storage import Storage

REASON = "node(s) exceed max volume count"
Attached = tuple[str, str]
"""(driver, handle) of a volume."""


class NodeVolumeLimits:
    """Filter on the CSI volumes of the node's pods, each counted once."""

    name = "NodeVolumeLimits"
    judges_alone = False

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by what the drivers of the node allow."""
        wanted = self._attached(pod)
        if not wanted:
            return None
        refusal = Verdict(self.name, (REASON,))

        def verdict(node: NodeInfo) -> Verdict:
            limits = self._limits(node)
            if not limits:
                return FITS
            held = {each for other in node.pods.values() for each in self._attached(other)}
            for driver, limit in limits.items():
                new = {each for each in wanted - held if each[0] == driver}
                if new and sum(1 for each in held if each[0] == driver) + len(new) > limit:
                    return refusal
            return FITS

        return verdict

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A driver that says otherwise, a new node, the end of a pod with volumes, the pod's own claims."""
        if change.what is What.POD_DELETE and isinstance(change.old, PodInfo):
            return bool(change.old.claims)
        if change.what is What.CLAIM:
            return change.key in pod.claims
        return change.what in (What.CSI, What.NODE_ADD)

    def _limits(self, node: NodeInfo) -> dict[str, int]:
        told = self._storage.csi_node(node.name)
        if told is None:
            return {}
        return {
            driver["name"]: int(driver["allocatable"]["count"])
            for driver in told["spec"].get("drivers") or ()
            if (driver.get("allocatable") or {}).get("count") is not None
        }

    def _attached(self, pod: PodInfo) -> set[Attached]:
        """The pod's CSI volumes; one that is yet to be provisioned counts as one of its class's driver."""
        found = set()
        for key in pod.claims:
            claim = self._storage.claims.get(key)
            if claim is None:
                continue
            volume = self._storage.volumes.get(claim["spec"].get("volumeName") or "")
            if volume is not None:
                csi = volume["spec"].get("csi")
                if csi:
                    found.add((csi["driver"], csi["volumeHandle"]))
                continue
            storage_class = self._storage.storage_class(claim)
            if storage_class is not None and storage_class["provisioner"] != volumes.NO_PROVISIONER:
                found.add((storage_class["provisioner"], key))
        return found
