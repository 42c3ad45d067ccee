"""Fields that are there only behind a feature gate: taken away from what is written while it is closed, unless the
stored object has them already (pkg/api/pod: DropDisabledPodFields, DropDisabledTemplateFields; the same of claims,
volumes and StatefulSets)."""

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


_CLASS = "VolumeAttributesClass"
# Kind → gate, where it is, field: what is no part of a PodSpec. All are closed in 1.32: KEP-3751, KEP-961.
_OTHERS: Mapping[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "PersistentVolume": ((_CLASS, ("spec",), "volumeAttributesClassName"),),
    "PersistentVolumeClaim": (
        (_CLASS, ("spec",), "volumeAttributesClassName"),
        (_CLASS, ("status",), "currentVolumeAttributesClassName"),
        (_CLASS, ("status",), "modifyVolumeStatus"),
    ),
    "StatefulSet": (("MaxUnavailableStatefulSet", ("spec", "updateStrategy", "rollingUpdate"), "maxUnavailable"),),
}


def drop_gated(kind: str, new: Object, old: Object | None, gates: Mapping[str, bool]) -> None:
    """Take away from `new` what the closed of `gates` keep from it; one that is not named is closed. kind: any of
    upstream's."""
    for gate, path, field in _OTHERS.get(kind, ()):
        holder = _at(path, new)
        if holder and not gates.get(gate) and (_at(path, old) or {}).get(field) is None:
            holder.pop(field, None)
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
    if not gates.get("ProcMountType") and not any(map(_unmasked, _security_contexts(before))):
        for context in filter(_unmasked, _security_contexts(spec)):
            context["procMount"] = "Default"  # which is told, as upstream: it was once stored in every container


def _unmasked(context: Object) -> bool:
    """Whether its /proc is not the usual one (KEP-4265, closed in 1.32)."""
    return context.get("procMount") not in (None, "Default")


def _itself(spec: Object) -> list[Object]:
    return [spec]


def _context(spec: Object) -> list[Object]:
    return [spec.get("securityContext") or {}]


def _volumes(spec: Object) -> list[Object]:
    return spec.get("volumes") or []


def _projections(spec: Object) -> list[Object]:
    found = (volume.get("projected") or {} for volume in _volumes(spec))
    return [source for projected in found for source in projected.get("sources") or ()]


def _containers(spec: Object) -> list[Object]:
    return [each for kind in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(kind) or ()]


def _security_contexts(spec: Object) -> list[Object]:
    return [each.get("securityContext") or {} for each in _containers(spec)]


def _resources(spec: Object) -> list[Object]:
    return [each.get("resources") or {} for each in _containers(spec)]


# Gate → field → what of a PodSpec may hold it. All are closed in 1.32: KEP-3257, KEP-4381, KEP-4639, KEP-1287,
# KEP-2837, KEP-1710, KEP-3619, KEP-127.
_HOLDERS: Mapping[str, Mapping[str, Callable[[Object], list[Object]]]] = {
    "ClusterTrustBundleProjection": {"clusterTrustBundle": _projections},
    "DynamicResourceAllocation": {"resourceClaims": _itself, "claims": _resources},
    "ImageVolume": {"image": _volumes},
    "InPlacePodVerticalScaling": {"resizePolicy": _containers},
    "PodLevelResources": {"resources": _itself},
    "SELinuxChangePolicy": {"seLinuxChangePolicy": _context},
    "SupplementalGroupsPolicy": {"supplementalGroupsPolicy": _context},
    "UserNamespacesSupport": {"hostUsers": _itself},
}


def _pod_spec(kind: str, obj: Object | None) -> Object | None:
    path = _POD_SPECS.get(kind)
    return None if path is None else _at(path, obj)


def _at(path: tuple[str, ...], obj: Object | None) -> Object | None:
    for field in path:
        obj = (obj or {}).get(field)
    return obj
