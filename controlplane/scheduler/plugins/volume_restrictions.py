"""VolumeRestrictions: disks that one node mounts once, and claims that one pod uses alone (KEP-2485)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.scheduler.framework import FITS, Change, Filter, Verdict, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.storage import Storage

Volume = Mapping[str, Any]

DISK = "node(s) had no available disk"
ALONE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


class VolumeRestrictions:
    """Filter on the volumes of the pods that run."""

    name = "VolumeRestrictions"
    judges_alone = False

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the pods of the node; a claim for one pod alone is looked for on every node."""
        disks = [volume for volume in pod.spec.get("volumes") or () if _kind(volume)]
        alone = frozenset(key for key in pod.claims if self._is_for_one(key))
        if not disks and not alone:
            return None
        taken = alone and any(alone & other.claims for node in snapshot.nodes for other in node.pods.values())
        in_use, conflict = Verdict(self.name, (ALONE,)), Verdict(self.name, (DISK,))

        def verdict(node: NodeInfo) -> Verdict:
            if disks:
                held = [volume for other in node.pods.values() for volume in other.spec.get("volumes") or ()]
                if any(conflicts(mine, theirs) for mine in disks for theirs in held):
                    return conflict
            return in_use if taken else FITS

        return verdict

    def _is_for_one(self, key: str) -> bool:
        claim = self._storage.claims.get(key)
        return claim is not None and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A new node, the end of a pod with one of the volumes, or a claim that was made anew."""
        if change.what is What.POD_DELETE and isinstance(change.old, PodInfo):
            theirs = change.old.spec.get("volumes") or ()
            mine = pod.spec.get("volumes") or ()
            return bool(pod.claims & change.old.claims) or any(conflicts(a, b) for a in mine for b in theirs)
        if change.what is What.CLAIM:
            return change.key in pod.claims
        return change.what is What.NODE_ADD


def _kind(volume: Volume) -> str:
    kinds = ("gcePersistentDisk", "awsElasticBlockStore", "rbd", "iscsi")
    return next((kind for kind in kinds if volume.get(kind)), "")


def conflicts(mine: Volume, theirs: Volume) -> bool:
    """Whether both cannot be mounted on one node: the same disk, and one of them writes."""
    kind = _kind(mine)
    if not kind or not theirs.get(kind):
        return False
    a, b = mine[kind], theirs[kind]
    if kind == "awsElasticBlockStore":  # not even twice to read
        return bool(a.get("volumeID") == b.get("volumeID"))
    if a.get("readOnly") and b.get("readOnly"):
        return False
    if kind == "gcePersistentDisk":
        return bool(a.get("pdName") == b.get("pdName"))
    if kind == "iscsi":
        return bool(a.get("iqn") == b.get("iqn"))
    shared = set(a.get("monitors") or ()) & set(b.get("monitors") or ())
    return bool(shared) and (a.get("pool"), a.get("image")) == (b.get("pool"), b.get("image"))
