"""Scales, and HorizontalPodAutoscalers: their targets column has a form for every source of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.apiserver.registry.autoscalers import to_v2
from controlplane.apiserver.tables.columns import NONE, UNKNOWN, UNSET, Cell, Object, Printer, age, columns, name, spec
from controlplane.apiserver.tables.columns import state as state_of

_SHOWN = 2
_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def print_autoscaler(obj: Object, now: datetime) -> list[Cell]:
    """In the words of autoscaling/v2, in whichever version it is asked for."""
    obj = _whole(obj) if obj.get("apiVersion") == "autoscaling/v1" else obj
    scaler, target, least = spec(obj), spec(obj).get("scaleTargetRef") or {}, spec(obj).get("minReplicas")
    return [
        name(obj),
        f"{target.get('kind')}/{target.get('name')}",
        _targets(obj),
        UNSET if least is None else str(least),
        scaler.get("maxReplicas") or 0,
        state_of(obj).get("currentReplicas") or 0,
        age(obj, now),
    ]


def print_scale(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), spec(obj).get("replicas") or 0, state_of(obj).get("replicas") or 0, age(obj, now)]


def _whole(obj: Object) -> Object:
    """Of version 1 in version 2; the target of CPU, which stands apart there, where its current value does."""
    found = to_v2(obj)
    metrics: list[Any] = found["spec"]["metrics"]
    if spec(obj).get("targetCPUUtilizationPercentage") is None:
        return found
    for position, each in enumerate(state_of(found).get("currentMetrics") or ()):
        current = each.get("resource") or {}
        if current.get("name") == "cpu" and "averageUtilization" in (current.get("current") or {}):
            metrics.insert(position, metrics.pop())
            break
    return found


def _targets(obj: Object) -> str:
    specs, statuses = spec(obj).get("metrics") or [], state_of(obj).get("currentMetrics") or []
    if not specs:
        return NONE
    shown = [
        _metric(each, statuses[position] if position < len(statuses) else {}) for position, each in enumerate(specs)
    ]
    more = f" + {len(shown) - _SHOWN} more..." if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _metric(metric: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    kind = metric.get("type") or ""
    source = _SOURCES.get(kind)
    if source is None:
        return "<unknown type>"
    target = (metric.get(source) or {}).get("target") or {}
    current = (status.get(source) or {}).get("current") or {}
    if "Resource" in kind:
        label = (metric.get(source) or {}).get("name") or ""
        if target.get("averageValue") is not None:
            return f"{label}: {current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
        share = current.get("averageUtilization")
        wanted = target.get("averageUtilization")
        return f"{label}: {UNKNOWN if share is None else f'{share}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if kind == "Pods":
        return f"{current.get('averageValue', UNKNOWN)}/{target.get('averageValue')}"
    if target.get("averageValue") is not None:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value')}"


PRINTERS = {
    ("autoscaling", "Scale"): Printer(columns("Name, Desired:integer, Available:integer, Age"), print_scale),
    ("autoscaling", "HorizontalPodAutoscaler"): Printer(
        columns("Name, Reference, Targets, MinPods, MaxPods, Replicas, Age"), print_autoscaler
    ),
}
