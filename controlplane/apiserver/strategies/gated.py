"""Fields that are there only behind a feature gate: taken away from what is written while it is closed, unless the
stored object has them already (pkg/api/pod, DropDisabledPodFields and DropDisabledTemplateFields)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def drop_gated(kind: str, new: Object, old: Object | None, gates: Mapping[str, bool]) -> None:
    """Take away from `new` what the closed of `gates` keep from it; one that is not named is closed. kind: any."""
    spec = _pod_spec(kind, new)
    if spec is None:
        return
    before = _pod_spec(kind, old) or {}
    for gate, holders in _HOLDERS.items():
        if not gates.get(gate):
            for field, find in holders.items():
                if not any(holder.get(field) is not None for holder in find(before)):
                    for holder in find(spec):
                        holder.pop(field, None)


def _itself(spec: Object) -> list[Object]:
    return [spec]


def _context(spec: Object) -> list[Object]:
    return [spec.get("securityContext") or {}]


def _volumes(spec: Object) -> list[Object]:
    return spec.get("volumes") or []


def _containers(spec: Object) -> list[Object]:
    return [each for kind in ("containers", "initContainers", "ephemeralContainers") for each in spec.get(kind) or ()]


# Gate → field → what of a PodSpec may hold it. All are closed in 1.32: KEP-4639, KEP-1287, KEP-2837, KEP-3619, KEP-127.
_HOLDERS: Mapping[str, Mapping[str, Callable[[Object], list[Object]]]] = {
    "ImageVolume": {"image": _volumes},
    "InPlacePodVerticalScaling": {"resizePolicy": _containers},
    "PodLevelResources": {"resources": _itself},
    "SupplementalGroupsPolicy": {"supplementalGroupsPolicy": _context},
    "UserNamespacesSupport": {"hostUsers": _itself},
}


def _pod_spec(kind: str, obj: Object | None) -> Object | None:
    path = _POD_SPECS.get(kind)
    if path is None:
        return None
    for field in path:
        obj = (obj or {}).get(field)
    return obj
