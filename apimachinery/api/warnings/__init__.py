"""What people are told about an object that is stored all the same: the Warning headers of a write.

Upstream's strategies say it (WarningsOnCreate, WarningsOnUpdate). The functions change nothing and never refuse.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.warnings import kinds, volumes
from apimachinery.api.warnings.pods import pod_warnings
from apimachinery.meta.paths import Path

Object = Mapping[str, Any]
Warn = Callable[[Object], Iterable[str]]

_TEMPLATE = Path("spec.template")
_JOB = Path("spec.jobTemplate.spec")


def _template(obj: Object) -> list[str]:
    return pod_warnings((obj.get("spec") or {}).get("template") or {}, _TEMPLATE)


def _workload(obj: Object) -> list[str]:
    return [*kinds.workload_name(obj), *_template(obj)]


def _stateful_set(obj: Object) -> list[str]:
    return [*_template(obj), *kinds.stateful_set(obj)]


def _job(obj: Object) -> list[str]:
    return [*kinds.workload_name(obj), *kinds.job_spec(obj.get("spec") or {}, Path("spec")), *_template(obj)]


def _cron_job(obj: Object) -> list[str]:
    job = ((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}
    template = pod_warnings(job.get("template") or {}, _JOB.child("template"))
    return [*kinds.workload_name(obj), *kinds.job_spec(job, _JOB), *template]


_CREATE: dict[tuple[str, str], Warn] = {
    ("", "Node"): kinds.node,
    ("", "PersistentVolume"): volumes.volume,
    ("", "PersistentVolumeClaim"): volumes.claim,
    ("", "Pod"): lambda obj: [*kinds.pod_name(obj), *pod_warnings(obj)],
    ("", "PodTemplate"): lambda obj: pod_warnings(obj.get("template") or {}, Path("template")),
    ("", "ReplicationController"): _workload,
    ("", "Secret"): kinds.secret,
    ("", "Service"): kinds.service,
    ("", "ServiceAccount"): kinds.service_account,
    ("apps", "DaemonSet"): _template,
    ("apps", "Deployment"): _workload,
    ("apps", "ReplicaSet"): _workload,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "CronJob"): _cron_job,
    ("batch", "Job"): _job,
    ("discovery.k8s.io", "EndpointSlice"): kinds.endpoint_slice,
    ("networking.k8s.io", "Ingress"): kinds.ingress,
    ("node.k8s.io", "RuntimeClass"): kinds.runtime_class,
    ("storage.k8s.io", "CSIStorageCapacity"): kinds.storage_capacity,
    ("storage.k8s.io", "StorageClass"): kinds.storage_class,
}
# Changes that are told nothing: those of pods are frequent and made by machines, the annotation of an Ingress is old
# news.
_SILENT = frozenset({("", "Pod"), ("networking.k8s.io", "Ingress")})
# Kinds that are told again only when their specification changed.
_BY_GENERATION = frozenset(
    {
        ("", "PodTemplate"),
        ("", "ReplicationController"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("batch", "CronJob"),
        ("batch", "Job"),
    }
)
_TEMPLATES: dict[tuple[str, str], Warn] = {
    ("", "ReplicationController"): _template,
    ("apps", "Deployment"): _template,
    ("apps", "ReplicaSet"): _template,
    ("batch", "CronJob"): lambda obj: [text for text in _cron_job(obj) if not text.startswith("metadata.name")],
    ("batch", "Job"): lambda obj: [text for text in _job(obj) if not text.startswith("metadata.name")],
}


def _changed_account(new: Object, old: Object) -> list[str]:
    return [text for text in kinds.service_account(new) if text not in kinds.service_account(old)]


def _changed_stateful_set(new: Object, old: Object) -> list[str]:
    # Its template is told of by generation as any, its claims are always.
    template = [] if _generation(new) == _generation(old) else _template(new)
    return [*template, *kinds.stateful_set(new, changed=True)]


_CHANGED: dict[tuple[str, str], Callable[[Object, Object], list[str]]] = {
    ("", "ServiceAccount"): _changed_account,
    ("apps", "StatefulSet"): _changed_stateful_set,
}


def for_create(resource: Resource, obj: Object) -> list[str]:
    """The warnings for a new object, which is valid."""
    found = _CREATE.get((resource.group, resource.kind))
    return list(found(obj)) if found else []


def for_update(resource: Resource, new: Object, old: Object) -> list[str]:
    """The warnings for a change of an object (not of a subresource)."""
    kind = (resource.group, resource.kind)
    if kind in _SILENT:
        return []
    if kind in _BY_GENERATION and _generation(new) == _generation(old):
        return []
    if changed := _CHANGED.get(kind):
        return changed(new, old)
    found = _TEMPLATES.get(kind) or _CREATE.get(kind)
    return list(found(new)) if found else []


def _generation(obj: Object) -> Any:
    return (obj.get("metadata") or {}).get("generation")
