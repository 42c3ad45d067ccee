"""What a controller's next turn would do: the controller itself says so, on the same caches, with dry runs for writes.

A second instance is made for it, which hears of nothing and forgets everything: what it decides, it decides from the
listers alone, as every reconcile here does, but for those of `BY_MEMORY`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

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
from apimachinery.cache.informer import Informer, InformerFactory, Transform, without_managed_fields
from apimachinery.cache.lister import IndexFunction, Lister
from apimachinery.client.rehearsal import Rehearsal, Write, rehearsing
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.context import Runnable
from apimachinery.controller.loop import Controller
from apimachinery.controller.stepping import Rehearse
from apimachinery.meta.status import ApiError
from controlplane.controllers.context import Context
from controlplane.controllers.pictures import compute_picture

Object = dict[str, Any]

BY_MEMORY = frozenset(
    {"garbage-collector-controller", "node-lifecycle-controller", "taint-eviction-controller"}
    | {"horizontal-pod-autoscaler-controller", "node-ipam-controller"}
)
"""They decide by what they have seen go by: when a node was last heard, who owned what is gone."""
_MEMORY = "It decides by what it has seen go by, which another instance has not."

KEYS: dict[str, Resource] = {
    "deployment-controller": DEPLOYMENTS,
    "replicaset-controller": REPLICASETS,
    "replicationcontroller-controller": REPLICATIONCONTROLLERS,
    "daemonset-controller": DAEMONSETS,
    "statefulset-controller": STATEFULSETS,
    "job-controller": JOBS,
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


class _StillLister(Lister):
    """The objects and indexes of another lister; an index that is there stays."""

    def __init__(self, real: Lister) -> None:
        self._objects, self._functions, self._indexes = real._objects, real._functions, real._indexes

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Nothing for an index that is there."""
        if name not in self._functions:
            super().add_index(name, function)


class _StillInformer(Informer):
    """Another informer's copy, which tells nobody anything."""

    def __init__(self, real: Informer) -> None:
        self.resource, self.lister, self._synced = real.resource, _StillLister(real.lister), real._synced

    def add_handler(self, *_: Any, **__: Any) -> None:
        """Nobody is told."""


class _StillInformers(InformerFactory):
    """Another factory's informers."""

    def __init__(self, real: InformerFactory) -> None:
        self._real = real

    def get(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform = without_managed_fields,
    ) -> Informer:
        """The informer that runs, without its news."""
        found = self._real.get(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            transform=transform,
        )
        return _StillInformer(found)


class _StillContext(Context):
    """What the second instance is given: the same client and caches."""

    def __init__(self, real: Context) -> None:
        super().__init__(real.client, real.config, real.clock)
        self.informers = _StillInformers(real.informers)


@runtime_checkable
class Recalls(Protocol):
    """A controller whose memory another instance can take over."""

    def recall(self, other: Any) -> None:
        """Remember what `other`, of the same class, does; share nothing with it."""


def rehearse_with(context: Context, make: Callable[[Context], Runnable], real: Runnable, loop: str) -> Rehearse | str:
    """The rehearsal of a loop of `real`; why not, where memory decides. make: as in the table of descriptors."""
    if loop in BY_MEMORY:
        return _MEMORY

    async def rehearse(key: str) -> Object:
        still = make(_StillContext(context))
        if isinstance(still, Recalls):
            still.recall(real)
        controller = next(each for each in loops_of(still) if each.name == loop)
        again, error = None, ""
        with rehearsing() as tried:
            try:
                again = await controller.reconcile(key)
            except (ApiError, ApiUnreachable) as failed:
                error = getattr(failed, "message", "") or str(failed)
            except Exception as failed:
                error = f"{type(failed).__name__}: {failed}"
        picture = None
        if (resource := KEYS.get(loop)) is not None:
            obj = context.informer(resource).lister.get_by_key(key)
            picture = compute_picture(obj) if obj is not None else {"object": None, "rows": []}
        return {"picture": picture, **_document(tried), "again": again, "error": error}

    return rehearse


def loops_of(controller: Runnable) -> list[Controller]:
    """The loops of a controller; none for one that merely looks around from time to time."""
    return [each for each in vars(controller).values() if isinstance(each, Controller)]


def _document(tried: Rehearsal) -> Object:
    events = [{"type": kind, "reason": reason, "message": message} for kind, reason, message in tried.events]
    return {"writes": [_written(write) for write in tried.writes], "events": events}


def _written(write: Write) -> Object:
    return {
        "method": write.method,
        "path": write.path,
        "body": write.body,
        "before": write.before,
        "after": write.after,
        "error": write.error,
    }
