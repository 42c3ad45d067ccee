"""The printers by group and kind: the only list of them."""

from __future__ import annotations

from controlplane.apiserver.tables import autoscaling, cluster, config, network, pods, policy, workloads
from controlplane.apiserver.tables.columns import Printer

PRINTERS: dict[tuple[str, str], Printer] = {
    **pods.PRINTERS,
    **workloads.PRINTERS,
    **network.PRINTERS,
    **cluster.PRINTERS,
    **config.PRINTERS,
    **autoscaling.PRINTERS,
    **policy.PRINTERS,
}
