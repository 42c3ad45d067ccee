"""The system's namespaces and priority classes."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery.api.catalogue import NAMESPACES, PRIORITYCLASSES
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.admission.priority import SYSTEM
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.strategies.namespace import FINALIZER, NAME_LABEL

Object = dict[str, Any]

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_DESCRIPTIONS = {
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to "
    "another node if necessary.",
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}


async def ensure_priority_classes(registry: Registry, clock: Clock) -> None:
    """Create those that are missing. Raises ApiError."""
    await asyncio.gather(*(_priority_class(registry, clock, name, value) for name, value in SYSTEM.items()))


async def ensure_namespaces(registry: Registry, clock: Clock) -> None:
    """Create those that are missing: kube-node-lease may be deleted, and without it no node says that it lives. Raises
    ApiError."""
    await asyncio.gather(*(_namespace(registry, clock, name) for name in SYSTEM_NAMESPACES))


async def _namespace(registry: Registry, clock: Clock, name: str) -> None:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {NAME_LABEL: name}},
        "spec": {"finalizers": [FINALIZER]},
        "status": {"phase": "Active"},
    }
    await _create(registry.of(NAMESPACES).store, namespace, clock)


async def _priority_class(registry: Registry, clock: Clock, name: str, value: int) -> None:
    document = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name, "generation": 1},
        "value": value,
        "description": _DESCRIPTIONS[name],
        "preemptionPolicy": "PreemptLowerPriority",
    }
    await _create(registry.of(PRIORITYCLASSES).store, document, clock)


async def _create(store: ObjectStore, obj: Object, clock: Clock) -> None:
    meta = obj["metadata"]
    if await store.find(meta.get("namespace") or "", meta["name"]) is not None:
        return
    generation = meta.get("generation")
    metadata.fill_created(store.resource, obj, clock.now())
    if generation:
        meta["generation"] = generation
    try:
        await store.create(obj)
    except status.ApiError as error:
        if not status.is_already_exists(error):
            raise
