"""What a controller's next turn would do (apimachinery.controller.rehearsing), and what its keys name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import (
    CERTIFICATESIGNINGREQUESTS,
    CLUSTERROLES,
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from apimachinery.controller.context import Runnable
from apimachinery.controller.rehearsing import StillInformers, rehearse
from apimachinery.controller.stepping import Rehearse
from controlplane.controllers.context import Context

Object = dict[str, Any]

KEYS: dict[str, Resource] = {
    "deployment-controller": DEPLOYMENTS,
    "replicaset-controller": REPLICASETS,
    "replicationcontroller-controller": REPLICATIONCONTROLLERS,
    "daemonset-controller": DAEMONSETS,
    "statefulset-controller": STATEFULSETS,
    "job-controller": JOBS,
    "job-controller: orphan pods": PODS,
    "ttl-after-finished-controller": JOBS,
    "cronjob-controller": CRONJOBS,
    "horizontal-pod-autoscaler-controller": HORIZONTALPODAUTOSCALERS,
    "disruption-controller": PODDISRUPTIONBUDGETS,
    "disruption-controller: stale targets": PODS,
    "endpointslice-controller": SERVICES,
    "endpoint-controller": SERVICES,
    "endpointslicemirroring-controller": ENDPOINTS,
    "taint-eviction-controller": PODS,
    "ephemeral-volume-controller": PODS,
    "persistentvolume-attach-detach-controller": NODES,
    "namespace-controller": NAMESPACES,
    "serviceaccount-controller": NAMESPACES,
    "root-ca-certificate-publisher-controller": NAMESPACES,
    "resourcequota-controller": RESOURCEQUOTAS,
    "node-ipam-controller": NODES,
    "node-lifecycle-controller": NODES,
    "ttl-controller": NODES,
    "clusterrole-aggregation-controller": CLUSTERROLES,
    "persistentvolumeclaim-protection-controller": PERSISTENTVOLUMECLAIMS,
    "persistentvolume-protection-controller": PERSISTENTVOLUMES,
    "persistentvolume-expander-controller": PERSISTENTVOLUMECLAIMS,
    "certificatesigningrequest-approving-controller": CERTIFICATESIGNINGREQUESTS,
    "certificatesigningrequest-signing-controller": CERTIFICATESIGNINGREQUESTS,
    "certificatesigningrequest-cleaner-controller": CERTIFICATESIGNINGREQUESTS,
}
"""What a loop's keys name, for the picture; those of other loops name several kinds, or none."""
_SECRETS = "serviceaccount-token-controller"  # nobody is shown what is in them


def is_namespaced(loop: str) -> bool:
    """Whether the keys of a loop are `namespace/name`, all of them."""
    resource = KEYS.get(loop)
    return loop == _SECRETS if resource is None else resource.namespaced


class _StillContext(Context):
    """What the second instance is given: the same client and caches."""

    def __init__(self, real: Context) -> None:
        super().__init__(real.client, real.config, real.clock)
        self.informers = StillInformers(real.informers)


def rehearse_with(context: Context, make: Callable[[Context], Runnable], real: Runnable, loop: str) -> Rehearse:
    """The rehearsal of a loop of `real`. make: as in the table of descriptors."""

    async def rehearse_key(key: str) -> Object:
        resource = KEYS.get(loop)
        kind = context.informer(resource) if resource is not None else None
        return await rehearse(make(_StillContext(context)), real, loop, key, kind)

    return rehearse_key
