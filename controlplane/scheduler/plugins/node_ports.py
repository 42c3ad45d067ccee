"""NodePorts: two pods cannot open the same host port on one node."""

from __future__ import annotations

from controlplane.scheduler.framework import FITS, Change, Filter, Verdict, What
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot


class NodePorts:
    """Filter on hostPort, protocol and hostIP."""

    name = "NodePorts"
    judges_alone = True

    def filter_for(self, pod: PodInfo, snapshot: Snapshot) -> Filter | None:
        """Judge by the ports that the node's pods occupy."""
        wanted = pod.host_ports
        if not wanted:
            return None
        refusal = Verdict(self.name, ("node(s) didn't have free ports for the requested pod ports",))

        def verdict(node: NodeInfo) -> Verdict:
            if any(mine.conflicts(theirs) for theirs in node.host_ports for mine in wanted):
                return refusal
            return FITS

        return verdict

    def may_help(self, pod: PodInfo, change: Change) -> bool:
        """A new node helps, or the end of a pod that holds one of the ports."""
        if change.what is What.POD_DELETE and isinstance(change.old, PodInfo):
            return any(mine.conflicts(theirs) for theirs in change.old.host_ports for mine in pod.host_ports)
        return change.what is What.NODE_ADD
