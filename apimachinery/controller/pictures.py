"""Desired and actual of an object, side by side, as `kubelab step` shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from apimachinery.client.rehearsal import Write
from apimachinery.meta import objects
from apimachinery.meta.changes import find_changes

Object = dict[str, Any]
Row = tuple[str, Any, Any]
"""What is compared, what is desired, what is."""

# Kind → (what, path of the desired value, its default, path of the actual one, its default).
_COUNTS: dict[str, tuple[tuple[str, str, Any, str, Any], ...]] = {
    "Deployment": (
        ("replicas", "spec.replicas", 1, "status.replicas", 0),
        ("updated", "spec.replicas", 1, "status.updatedReplicas", 0),
        ("available", "spec.replicas", 1, "status.availableReplicas", 0),
    ),
    "ReplicaSet": (
        ("pods", "spec.replicas", 1, "status.replicas", 0),
        ("ready", "spec.replicas", 1, "status.readyReplicas", 0),
        ("available", "spec.replicas", 1, "status.availableReplicas", 0),
    ),
    "StatefulSet": (
        ("replicas", "spec.replicas", 1, "status.replicas", 0),
        ("ready", "spec.replicas", 1, "status.readyReplicas", 0),
        ("revision", "status.updateRevision", "", "status.currentRevision", ""),
    ),
    "DaemonSet": (
        ("scheduled", "status.desiredNumberScheduled", 0, "status.currentNumberScheduled", 0),
        ("updated", "status.desiredNumberScheduled", 0, "status.updatedNumberScheduled", 0),
        ("ready", "status.desiredNumberScheduled", 0, "status.numberReady", 0),
    ),
    "Job": (
        ("succeeded", "spec.completions", 1, "status.succeeded", 0),
        ("active", "spec.parallelism", 1, "status.active", 0),
        ("failed at most", "spec.backoffLimit", 6, "status.failed", 0),
    ),
    "HorizontalPodAutoscaler": (("replicas", "status.desiredReplicas", 0, "status.currentReplicas", 0),),
    "PodDisruptionBudget": (("healthy", "status.desiredHealthy", 0, "status.currentHealthy", 0),),
    "CronJob": (("schedule / last run", "spec.schedule", "", "status.lastScheduleTime", "never"),),
    "PersistentVolumeClaim": (
        ("storage", "spec.resources.requests.storage", "", "status.capacity.storage", ""),
        ("phase", "", "Bound", "status.phase", ""),
    ),
    "Namespace": (("phase", "", "Active", "status.phase", ""),),
}
_COUNTS["ReplicationController"] = _COUNTS["ReplicaSet"]


def compute_picture(obj: Object) -> Object:
    """The object's kind, name and version, and the rows of desired and actual."""
    about = {
        "kind": obj.get("kind", ""),
        "key": objects.key(obj),
        "resourceVersion": objects.resource_version(obj),
        "deleting": objects.is_deleting(obj),
    }
    return {"object": about, "rows": [list(row) for row in _rows(obj)]}


def compute_rows(writes: Iterable[Write]) -> Iterator[Row]:
    """What writes say of desired and actual, where no more is known of the object's kind."""
    for write in writes:
        obj = write.after or write.before or (write.body if isinstance(write.body, dict) else {})
        metadata = obj.get("metadata") or {}
        name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name") or metadata.get("generateName"))))
        named = f"{obj.get('kind') or write.path} {name}".rstrip()
        if write.does:
            yield write.does, "done", "not yet"
        elif write.method == "DELETE":
            yield named, "gone", "there"
        elif write.before is None or write.after is None:
            yield named, "there", "absent"
        else:
            for path, old, new in find_changes(write.before, write.after):
                told = obj.get("kind") != "Secret" or not path.startswith("data")
                yield f"{named}: {path}", new if told else "…", old if told else "…"


def _rows(obj: Object) -> Iterator[Row]:
    if objects.is_deleting(obj):
        yield "exists", "no", "yes, " + (", ".join(obj["metadata"].get("finalizers") or ()) or "without finalizers")
    for what, desired, default, actual, otherwise in _COUNTS.get(obj.get("kind", ""), ()):
        wanted = _at(obj, desired, default)
        yield what, wanted, _at(obj, actual, otherwise)
    if (generation := obj["metadata"].get("generation")) and "observedGeneration" in (obj.get("status") or {}):
        yield "observed generation", generation, obj["status"]["observedGeneration"]


def _at(obj: Object, path: str, default: Any) -> Any:
    found: Any = obj
    for word in path.split(".") if path else ():
        found = found.get(word) if isinstance(found, dict) else None
    return default if found is None or not path else found
