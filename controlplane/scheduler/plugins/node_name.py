"""NodeName: a pod that names its node runs there or nowhere."""

from __future__ import annotations

from controlplane.scheduler.framework import FITS, Change, Filter, Verdict, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


class NodeName:
    """Filter on spec.nodeName."""

    name = "NodeName"
    judges_alone = True

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the node's name; pods that name none pass everywhere."""
        if not pod.node_name:
            return None
        refusal = Verdict(self.name, ("node(s) didn't match the requested node name",), resolvable=False)

        def verdict(node: NodeInfo) -> Verdict:
            return FITS if node.name == pod.node_name else refusal

        return verdict

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """Only a new node can bear the name."""
        return change.what is What.NODE_ADD
