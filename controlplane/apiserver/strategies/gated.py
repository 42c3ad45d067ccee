"""Fields that are there only behind a feature gate: taken away from what is written while it is closed, unless the
stored object has them already (pkg/api/pod, DropDisabledPodFields and DropDisabledTemplateFields)."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_TEMPLATE = ("spec", "template", "spec")
# Where each kind has its PodSpec.
_POD_SPECS = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"), _TEMPLATE
    ),
}


def drop_pod_level_resources(kind: str, new: Object, old: Object | None) -> None:
    """`resources` of a pod as a whole (KEP-2837). kind: of the object, any. `new` is changed, `old` is not."""
    spec = _pod_spec(kind, new)
    if spec is not None and "resources" in spec and (_pod_spec(kind, old) or {}).get("resources") is None:
        del spec["resources"]


def _pod_spec(kind: str, obj: Object | None) -> Object | None:
    path = _POD_SPECS.get(kind)
    if path is None:
        return None
    for field in path:
        obj = (obj or {}).get(field)
    return obj
