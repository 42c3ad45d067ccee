"""Flags of upstream's kube-controller-manager that change nothing here."""

from __future__ import annotations

from apimachinery.kit.config import boolean
from apimachinery.kit.flags import Kind, integer
from apimachinery.meta.common_flags import duration

# One worker is enough there, or another component's work.
_CONCURRENT = ("service", "serviceaccount-token", "validating-admission-policy-status")
_PERIODS = (
    "attach-detach-reconcile-sync-period", "controller-start-interval", "endpoint-updates-batch-period",
    "endpointslice-updates-batch-period", "min-resync-period", "mirroring-endpointslice-updates-batch-period",
    "namespace-sync-period", "pvclaimbinder-sync-period", "resource-quota-sync-period", "route-reconciliation-period",
)  # fmt: skip
_RECYCLER = (
    "increment-timeout-nfs", "minimum-timeout-hostpath", "minimum-timeout-nfs", "timeout-increment-hostpath",
)  # fmt: skip

ACCEPTED: dict[str, Kind] = {
    "allow-untagged-cloud": boolean,
    "cidr-allocator-type": str,
    "cloud-config": str,
    "cloud-provider": str,
    "cluster-name": str,
    "configure-cloud-routes": boolean,
    "disable-attach-detach-reconcile-sync": boolean,
    "enable-hostpath-provisioner": boolean,
    "enable-leader-migration": boolean,
    "external-cloud-volume-plugin": str,
    "flex-volume-plugin-dir": str,
    "leader-migration-config": str,
    "mirroring-max-endpoints-per-subset": integer,
    "pv-recycler-pod-template-filepath-hostpath": str,
    "pv-recycler-pod-template-filepath-nfs": str,
    **{f"concurrent-{what}-syncs": integer for what in _CONCURRENT},
    **dict.fromkeys(_PERIODS, duration),
    **{f"pv-recycler-{what}": integer for what in _RECYCLER},
}
