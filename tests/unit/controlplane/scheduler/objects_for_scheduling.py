"""Builders of the few fields of Nodes and Pods that scheduling reads, and what is said of those that do not fit."""

from __future__ import annotations

from typing import Any

from apimachinery.meta import labels as label_selectors
from apimachinery.meta.labels import Selector
from controlplane.scheduler.decision import decide
from controlplane.scheduler.messages import fit_error
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.pod_info import Labels, PodInfo
from controlplane.scheduler.preemption import plan_preemption
from controlplane.scheduler.snapshot import snapshot_of

Object = dict[str, Any]


class OneService:
    """Surroundings in which every pod labelled app=web belongs to one Service."""

    def namespace_labels(self) -> dict[str, Labels]:
        return {}

    def owner_selector(self, pod: PodInfo) -> Selector | None:
        return label_selectors.from_set({"app": "web"}) if pod.labels.get("app") == "web" else None


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    labels: dict[str, str] | None = None,
    taints: list[Object] | None = None,
    unschedulable: bool = False,
    images: list[Object] | None = None,
    **extended: str,
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": taints or [], "unschedulable": unschedulable},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **extended},
            "images": images or [],
        },
    }


def pod(
    name: str,
    *,
    cpu: str | None = None,
    memory: str | None = None,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    on: str = "",
    priority: int = 0,
    created: str = "2025-01-01T00:00:00Z",
    **spec: Any,
) -> Object:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "labels": labels or {},
            "creationTimestamp": created,
        },
        "spec": {
            "containers": [{"name": "main", "image": "nginx", "resources": {"requests": requests}}],
            "priority": priority,
            **({"nodeName": on} if on else {}),
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def explain(candidate: Object, nodes: list[Object], running: list[Object]) -> str:
    """What the event of a pod says that fits nowhere and for which nobody is evicted."""
    framework, snapshot = make_framework(), snapshot_of(nodes, running)
    info = PodInfo(candidate)
    decision = decide(framework, info, snapshot)
    assert decision.node is None
    preemption = plan_preemption(framework, info, snapshot, decision.refusals)
    return fit_error(len(snapshot), decision.refusals, preemption.message)
