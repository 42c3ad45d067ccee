"""VolumeZone: a volume that is labelled with a zone or region is used by nodes of it only."""

from __future__ import annotations

from apimachinery.meta import objects
from controlplane.scheduler.framework import FITS, Change, Filter, Verdict, What, node_facts_changed
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.storage import Storage

# Each label and the name that it has today: the old ones of a volume are found in the new ones of nodes, not the other
# way round.
_TOPOLOGY = {
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
REASON = "node(s) had no available volume zone"


class VolumeZone:
    """Filter on the zone labels of bound volumes."""

    name = "VolumeZone"
    judges_alone = False

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the labels of the node; one that has no such label at all is in every zone."""
        demands: list[tuple[str, frozenset[str]]] = []
        for key in pod.claims:
            claim = self._storage.claims.get(key)
            volume = self._storage.volumes.get(claim["spec"].get("volumeName") or "") if claim is not None else None
            labels = objects.labels(volume) if volume is not None else {}
            demands += [(label, frozenset(labels[label].split("__"))) for label in _TOPOLOGY if label in labels]
        if not demands:
            return None
        refusal = Verdict(self.name, (REASON,), resolvable=False)

        def verdict(node: NodeInfo) -> Verdict:
            if not any(label in node.labels for label in _TOPOLOGY):
                return FITS
            return FITS if all(_value(node, label) in allowed for label, allowed in demands) else refusal

        return verdict

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """Volumes, classes, the pod's claims, and nodes with other labels."""
        if change.what is What.CLAIM:
            return change.key in pod.claims
        return change.what in (What.VOLUME, What.STORAGE_CLASS) or node_facts_changed(change, lambda node: node.labels)


def _value(node: NodeInfo, label: str) -> str | None:
    return node.labels.get(label, node.labels.get(_TOPOLOGY[label]))
