"""What plugins ask of the cluster beside nodes and pods: namespace labels, and whom a pod belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import NAMESPACES, REPLICASETS, REPLICATIONCONTROLLERS, SERVICES, STATEFULSETS, Resource
from apimachinery.cache.informer import InformerFactory
from apimachinery.cache.lister import Lister
from apimachinery.controller.owners import controller_of
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects
from apimachinery.meta.labels import Selector
from controlplane.scheduler.pod_info import Labels, PodInfo

_WORKLOADS: tuple[Resource, ...] = (REPLICASETS, STATEFULSETS, REPLICATIONCONTROLLERS)


def selector_only(obj: dict[str, Any]) -> dict[str, Any]:
    """An informer transform: keep of a Service or workload what `owner_selector` reads."""
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "labels")
    return {
        "apiVersion": obj.get("apiVersion", ""),
        "kind": obj.get("kind", ""),
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"selector": (obj.get("spec") or {}).get("selector")},
    }


class ClusterSurroundings:
    """Answers from informers. Lookups cost O(Services of the pod's namespace)."""

    def __init__(self, informers: InformerFactory) -> None:
        self._namespaces = informers.get(NAMESPACES).lister
        self._services = informers.get(SERVICES, transform=selector_only).lister
        self._workloads: dict[tuple[str, str], Lister] = {
            (resource.api_version, resource.kind): informers.get(resource, transform=selector_only).lister
            for resource in _WORKLOADS
        }

    def namespace_labels(self) -> Mapping[str, Labels]:
        """Labels of every namespace by name."""
        return {objects.name(ns): objects.labels(ns) for ns in self._namespaces.list()}

    def owner_selector(self, pod: PodInfo) -> Selector | None:
        """Join the selectors of the Services that select the pod and of the workload that controls it."""
        labels: dict[str, str] = {}
        for service in self._services.list(pod.namespace):
            selector = service["spec"]["selector"]
            if selector and all(pod.labels.get(key) == value for key, value in selector.items()):
                labels.update(selector)
        expressions: list[dict[str, Any]] = []
        reference = controller_of(pod.pod)
        if reference is not None:
            lister = self._workloads.get((reference["apiVersion"], reference["kind"]))
            workload = lister.get(reference["name"], pod.namespace) if lister is not None else None
            if workload is not None and objects.uid(workload) == reference["uid"]:
                selector = workload["spec"]["selector"] or {}
                if reference["kind"] == REPLICATIONCONTROLLERS.kind:
                    labels.update(selector)
                else:
                    expressions += [
                        {"key": key, "operator": "In", "values": [value]}
                        for key, value in (selector.get("matchLabels") or {}).items()
                    ]
                    expressions += selector.get("matchExpressions") or ()
        if not labels and not expressions:
            return None
        return label_selectors.from_label_selector({"matchLabels": labels, "matchExpressions": expressions})
