"""The same object in another version: what is stored in one version is served in all of its group.

Almost every kind has one version. Events of `events.k8s.io` are the core group's under other names of fields, and
autoscaling/v1 is a narrower autoscaling/v2 (pkg/apis/events/v1/conversion.go, pkg/apis/autoscaling/v1/conversion.go).
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.api.catalogue import CATALOGUE, Resource
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]

_METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR_ANNOTATION = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS_ANNOTATION = "autoscaling.alpha.kubernetes.io/conditions"

_EVENT_NAMES = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
)


def stored_resource(resource: Resource) -> Resource:
    """The resource whose version is kept in the store."""
    if isinstance(resource, DefinedResource):
        return resource.stored
    version = f"{resource.storage_group}/{resource.storage_version}" if resource.storage_group else "v1"
    return CATALOGUE.by_kind(version, resource.kind) or resource


async def converted(obj: Object, resource: Resource) -> Object:
    """`obj` as an object of `resource`; itself when it is one already. Raises ApiError 500 when a webhook should
    convert it and does not."""
    if isinstance(resource, DefinedResource) and obj.get("apiVersion") != resource.api_version:
        return (await resource.rules.convert_all([obj]))[0]
    return convert(obj, resource)


async def converted_all(objects: list[Object], resource: Resource) -> list[Object]:
    """The same for many at once."""
    if isinstance(resource, DefinedResource):
        return await resource.rules.convert_all(objects)
    return [convert(obj, resource) for obj in objects]


def served_as_stored(resource: Resource, stored: Resource) -> bool:
    """Whether the bytes in the store are what is served: the same version, of a kind that never had another."""
    return resource is stored and (not isinstance(resource, DefinedResource) or len(resource.versions) == 1)


def convert(obj: Object, resource: Resource) -> Object:
    """`obj` as an object of `resource`; itself when it is one already. Mutates nothing. A kind that a webhook converts
    only gets the other apiVersion here."""
    have = obj.get("apiVersion")
    if have == resource.api_version:
        return obj
    if isinstance(resource, DefinedResource):
        return resource.rules.convert(obj)
    converted = {**obj, "apiVersion": resource.api_version}
    if resource.kind == "Event":
        for new, old in _EVENT_NAMES:
            source, target = (old, new) if resource.group else (new, old)
            if source in converted:
                converted[target] = converted.pop(source)
    elif resource.kind == "HorizontalPodAutoscaler":
        return _autoscaler_v1(converted) if resource.version == "v1" else _autoscaler_v2(converted)
    return converted


def _autoscaler_v2(obj: Object) -> Object:
    spec, meta = dict(obj.get("spec") or {}), dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    metrics = _loads(annotations.pop(_METRICS_ANNOTATION, ""), [])
    behavior = _loads(annotations.pop(_BEHAVIOR_ANNOTATION, ""), None)
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        wanted = {"type": "Utilization", "averageUtilization": target}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": wanted}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    if behavior:
        spec["behavior"] = behavior
    return _finish(obj, meta, annotations, spec)


def _autoscaler_v1(obj: Object) -> Object:
    spec, meta = dict(obj.get("spec") or {}), dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        resource = metric.get("resource") or {}
        utilization = (resource.get("target") or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and utilization and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = utilization
        else:
            others.append(metric)
    if others:
        annotations[_METRICS_ANNOTATION] = orjson.dumps(others).decode()
    if behavior := spec.pop("behavior", None):
        annotations[_BEHAVIOR_ANNOTATION] = orjson.dumps(behavior).decode()
    converted = _finish(obj, meta, annotations, spec)
    if status := converted.get("status"):
        status = dict(status)
        for metric in status.pop("currentMetrics", None) or []:
            current = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
            if current is not None:
                status["currentCPUUtilizationPercentage"] = current
        if conditions := status.pop("conditions", None):
            annotations[_CONDITIONS_ANNOTATION] = orjson.dumps(conditions).decode()
            converted = _finish(converted, meta, annotations, spec)
        converted["status"] = status
    return converted


def _finish(obj: Object, meta: Object, annotations: dict[str, str], spec: Object) -> Object:
    meta["annotations"] = annotations
    if not annotations:
        del meta["annotations"]
    return {**obj, "metadata": meta, "spec": spec}


def _loads(text: str, default: Any) -> Any:
    try:
        return orjson.loads(text) if text else default
    except orjson.JSONDecodeError:
        return default
