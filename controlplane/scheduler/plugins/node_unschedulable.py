"""NodeUnschedulable: cordoned nodes take no new pods, except those that tolerate the cordon's taint."""

from __future__ import annotations

from apimachinery.meta import taints
from controlplane.scheduler.framework import FITS, Change, Filter, Verdict, node_facts_changed, other_tolerations
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot

_CORDON = {"key": taints.UNSCHEDULABLE, "effect": taints.NO_SCHEDULE}


class NodeUnschedulable:
    """Filter on spec.unschedulable (`kubectl cordon`)."""

    name = "NodeUnschedulable"
    judges_alone = True

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the node's cordon."""
        if any(taints.tolerates(t, _CORDON) for t in pod.tolerations):
            return None
        refusal = Verdict(self.name, ("node(s) were unschedulable",), resolvable=False)

        def verdict(node: NodeInfo) -> Verdict:
            return refusal if node.unschedulable else FITS

        return verdict

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """An uncordoned node helps, a new one that is not cordoned, and that the pod tolerates the cordon now."""
        if other_tolerations(change):
            return any(taints.tolerates(t, _CORDON) for t in pod.tolerations)
        if not node_facts_changed(change, lambda node: node.unschedulable):
            return False
        return not isinstance(change.new, NodeInfo) or not change.new.unschedulable
