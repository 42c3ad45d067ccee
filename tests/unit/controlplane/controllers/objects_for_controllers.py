"""Builders of the few fields of API objects that controllers read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from apimachinery.meta import times

Object = dict[str, Any]

NOW = datetime(2025, 6, 1, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return times.rfc3339(NOW - timedelta(seconds=seconds))


def pod(
    name: str,
    *,
    ready: bool = False,
    ready_for: float = 1000,
    phase: str | None = None,
    node: str = "n1",
    ip: str | None = "10.244.1.5",
    labels: dict[str, str] | None = None,
    owner: Object | None = None,
    deleting: bool = False,
    age: float = 1000,
    annotations: dict[str, str] | None = None,
    restarts: int = 0,
    namespace: str = "default",
    **spec: Any,
) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "labels": labels or {"app": "web"},
        "creationTimestamp": ago(age),
    }
    if owner is not None:
        metadata["ownerReferences"] = [controller_ref(owner)]
    if deleting:
        metadata["deletionTimestamp"] = ago(1)
    if annotations:
        metadata["annotations"] = annotations
    status: Object = {"phase": phase or ("Running" if node else "Pending")}
    if ip:
        status["podIP"] = ip
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ago(ready_for)}]
    status["conditions"] = conditions
    if restarts:
        status["containerStatuses"] = [{"name": "main", "restartCount": restarts}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "main", "image": "nginx"}], **({"nodeName": node} if node else {}), **spec},
        "status": status,
    }


def controller_ref(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def template(image: str = "nginx") -> Object:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}}


def deployment(replicas: int = 3, *, image: str = "nginx", **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            **spec,
        },
        "status": {},
    }


def replica_set(
    name: str,
    replicas: int,
    *,
    image: str = "nginx",
    available: int | None = None,
    revision: int = 1,
    desired: int | None = None,
    maximum: int | None = None,
    age: float = 1000,
) -> Object:
    available = replicas if available is None else available
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    if desired is not None:
        annotations["deployment.kubernetes.io/desired-replicas"] = str(desired)
    if maximum is not None:
        annotations["deployment.kubernetes.io/max-replicas"] = str(maximum)
    body = template(image)
    body["metadata"]["labels"]["pod-template-hash"] = name
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "generation": 1,
            "annotations": annotations,
            "creationTimestamp": ago(age),
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web", "pod-template-hash": name}},
            "template": body,
        },
        "status": {
            "replicas": replicas,
            "readyReplicas": available,
            "availableReplicas": available,
            "observedGeneration": 1,
        },
    }


def node(name: str, ready: str = "True", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {}, "creationTimestamp": ago(1000)},
        "spec": spec,
        "status": {
            "conditions": [
                {"type": "Ready", "status": ready, "lastHeartbeatTime": ago(10), "lastTransitionTime": ago(10)}
            ]
        },
    }
