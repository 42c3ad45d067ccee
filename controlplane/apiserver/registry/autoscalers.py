"""A HorizontalPodAutoscaler in both versions: what autoscaling/v1 has no field for travels in four annotations.

pkg/apis/autoscaling/v1/conversion.go. The metrics in the annotations have version 1's flat form; the behaviour has the
names of Go's fields, since upstream marshals its internal type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

Object = dict[str, Any]

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_STATUSES = "autoscaling.alpha.kubernetes.io/current-metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_ALL = (_METRICS, _STATUSES, _BEHAVIOR, _CONDITIONS)
_DEFAULT_CPU = 80

# Each kind of metric: where version 2 has a value, below what it calls the target or the current value ("*"), and
# version 1's name of it. Version 1's "target…" is "current…" in a status.
_SHAPES: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "object": (
        (("describedObject",), "target"),
        (("metric", "name"), "metricName"),
        (("*", "value"), "*Value"),
        (("metric", "selector"), "selector"),
        (("*", "averageValue"), "averageValue"),
    ),
    "pods": (
        (("metric", "name"), "metricName"),
        (("*", "averageValue"), "*AverageValue"),
        (("metric", "selector"), "selector"),
    ),
    "resource": (
        (("name",), "name"),
        (("*", "averageUtilization"), "*AverageUtilization"),
        (("*", "averageValue"), "*AverageValue"),
    ),
    "containerResource": (
        (("name",), "name"),
        (("*", "averageUtilization"), "*AverageUtilization"),
        (("*", "averageValue"), "*AverageValue"),
        (("container",), "container"),
    ),
    "external": (
        (("metric", "name"), "metricName"),
        (("metric", "selector"), "metricSelector"),
        (("*", "value"), "*Value"),
        (("*", "averageValue"), "*AverageValue"),
    ),
}


def to_v1(obj: Object) -> Object:
    """An autoscaling/v2 object (its apiVersion set already) in version 1; a new one."""
    spec, meta = dict(obj.get("spec") or {}), dict(obj["metadata"])
    state = {"currentReplicas": 0, "desiredReplicas": 0, **(obj.get("status") or {})}
    annotations = _without(meta)
    metrics = spec.pop("metrics", None) or []
    cpu = [each for each in metrics if _utilization(each, "target") is not None]
    if cpu:
        spec["targetCPUUtilizationPercentage"] = _utilization(cpu[0], "target")
    current, conditions = state.pop("currentMetrics", None) or [], state.pop("conditions", None) or []
    for each in current:
        if (used := _utilization(each, "current")) is not None:
            state["currentCPUUtilizationPercentage"] = used
    behavior = spec.pop("behavior", None)
    for key, found in (
        (_METRICS, [_flat(each, "target") for each in metrics if _utilization(each, "target") is None]),
        (_STATUSES, [_flat(each, "current") for each in current]),
        (_BEHAVIOR, _renamed(behavior, str.upper) if behavior else None),
        (_CONDITIONS, conditions),
    ):
        if found:
            annotations[key] = orjson.dumps(found).decode()
    return _assembled(obj, meta, annotations, spec, state)


def to_v2(obj: Object) -> Object:
    """An autoscaling/v1 object (its apiVersion set already) in version 2; a new one. Annotations that are no JSON of
    the right kind are dropped, as upstream does."""
    spec, meta = dict(obj.get("spec") or {}), dict(obj["metadata"])
    state = dict(obj.get("status") or {})
    annotations = meta.get("annotations") or {}
    target = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_deep(each, "target") for each in _list(annotations, _METRICS)]
    if target is not None:
        metrics.append(_cpu("target", {"type": "Utilization", "averageUtilization": target}))
    default = {"type": "Utilization", "averageUtilization": _DEFAULT_CPU}
    spec["metrics"] = metrics or [_cpu("target", default)]
    behavior = _loads(annotations, _BEHAVIOR)
    if isinstance(behavior, dict) and behavior:
        spec["behavior"] = _renamed(behavior, str.lower)
    used = state.pop("currentCPUUtilizationPercentage", None)
    current = [_deep(each, "current") for each in _list(annotations, _STATUSES)]
    if not current and used is not None:
        current = [_cpu("current", {"averageUtilization": used})]
    if current:
        state["currentMetrics"] = current
    if conditions := _list(annotations, _CONDITIONS):
        state["conditions"] = conditions
    return _assembled(obj, meta, _without(meta), spec, state)


def _assembled(obj: Object, meta: Object, annotations: Object, spec: Object, state: Object) -> Object:
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    made = {**obj, "metadata": meta, "spec": spec}
    if state or "status" in obj:
        made["status"] = state
    return made


def _without(meta: Mapping[str, Any]) -> Object:
    return {key: text for key, text in (meta.get("annotations") or {}).items() if key not in _ALL}


def _cpu(word: str, value: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", word: value}}


def _utilization(metric: Mapping[str, Any], word: str) -> Any:
    """The percentage of CPU that a metric is about, None for another metric."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    return (resource.get(word) or {}).get("averageUtilization")


def _flat(metric: Mapping[str, Any], word: str) -> Object:
    made: Object = {"type": metric.get("type")}
    for kind, shape in _SHAPES.items():
        source = metric.get(kind)
        if source is None:
            continue
        made[kind] = {}
        for place, name in shape:
            value: Any = source
            for step in place:
                value = (value or {}).get(word if step == "*" else step)
            if value is not None:
                made[kind][name.replace("*", word)] = value
            elif kind == "object" and name == "*Value":
                made[kind][f"{word}Value"] = "0"  # no pointer in Go
    return made


def _deep(metric: Mapping[str, Any], word: str) -> Object:
    made: Object = {"type": metric.get("type")}
    for kind, shape in _SHAPES.items():
        source = metric.get(kind)
        if not isinstance(source, dict):
            continue
        found: Object = {}
        for place, name in shape:
            value = source.get(name.replace("*", word))
            if value is None:
                continue
            inner = found
            for step in place[:-1]:
                inner = inner.setdefault(word if step == "*" else step, {})
            inner[place[-1]] = value
        if word == "target":
            found["target"] = {"type": _target_type(kind, found.get("target") or {}), **(found.get("target") or {})}
        made[kind] = found
    return made


def _target_type(kind: str, target: Mapping[str, Any]) -> str:
    if kind in ("resource", "containerResource"):
        return "Utilization" if "averageUtilization" in target else "AverageValue"
    if kind == "object":
        return "AverageValue" if "averageValue" in target else "Value"
    return "Value" if kind == "external" and "value" in target else "AverageValue"


def _renamed(value: Any, case: Any) -> Any:
    """The same with the first letters of all fields in another case."""
    if isinstance(value, dict):
        return {case(key[:1]) + key[1:]: _renamed(inner, case) for key, inner in value.items()}
    return [_renamed(inner, case) for inner in value] if isinstance(value, list) else value


def _list(annotations: Mapping[str, str], key: str) -> list[Object]:
    found = _loads(annotations, key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, Iterable) else []


def _loads(annotations: Mapping[str, str], key: str) -> Any:
    try:
        return orjson.loads(annotations.get(key) or "null")
    except orjson.JSONDecodeError:
        return None
