"""The scheduling rules, one file each, and the default profile: the only list of them."""

from __future__ import annotations

from controlplane.scheduler.framework import Framework
from controlplane.scheduler.plugins.balanced_allocation import BalancedAllocation
from controlplane.scheduler.plugins.image_locality import ImageLocality
from controlplane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from controlplane.scheduler.plugins.node_affinity import NodeAffinity
from controlplane.scheduler.plugins.node_name import NodeName
from controlplane.scheduler.plugins.node_ports import NodePorts
from controlplane.scheduler.plugins.node_resources_fit import NodeResourcesFit
from controlplane.scheduler.plugins.node_unschedulable import NodeUnschedulable
from controlplane.scheduler.plugins.pod_topology_spread import PodTopologySpread
from controlplane.scheduler.plugins.taint_toleration import TaintToleration


def default_framework(scheduler_name: str = "default-scheduler") -> Framework:
    """Return upstream's default profile: order of the filters and weights of the scores as in 1.32."""
    taint_toleration, node_affinity, fit = TaintToleration(), NodeAffinity(), NodeResourcesFit()
    spread, inter_pod = PodTopologySpread(), InterPodAffinity()
    return Framework(
        scheduler_name,
        filters=[
            NodeUnschedulable(),
            NodeName(),
            taint_toleration,
            node_affinity,
            NodePorts(),
            fit,
            spread,
            inter_pod,
        ],
        scorers=[
            (taint_toleration, 3),
            (node_affinity, 2),
            (fit, 1),
            (spread, 2),
            (inter_pod, 2),
            (BalancedAllocation(), 1),
            (ImageLocality(), 1),
        ],
    )
