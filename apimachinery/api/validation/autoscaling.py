"""HorizontalPodAutoscalers of autoscaling/v2 (pkg/apis/autoscaling/validation)."""

from collections.abc import Mapping
from typing import Any

from apimachinery.api.validation.checks import NOT_POSITIVE, Object, dns_label, nonnegative, sentences
from apimachinery.api.validation.go_values import go_quantity
from apimachinery.api.validation.metadata import path_segment
from apimachinery.api.validation.resources import container_resource_name
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_MAX_PERIOD = 1800
_MAX_WINDOW = 3600
_SELECT = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_SOURCES = ("ContainerResource", "External", "Object", "Pods", "Resource")
# In the order in which upstream looks at them: only the first one given is checked in depth.
_FIELDS = ("object", "external", "pods", "resource", "containerResource")
_TARGETS = ("Utilization", "Value", "AverageValue")
_EITHER = "must set either a target raw value or a target utilization"
_BOTH = "may not set both a target raw value and a target utilization"


def autoscaler(obj: Object) -> list[Problem]:
    """A new autoscaler: at least one replica (HPAScaleToZero is off)."""
    return _autoscaler(obj, 1)


def autoscaler_update(new: Object, old: Object) -> list[Problem]:
    """One that had a minimum of zero may keep it."""
    return _autoscaler(new, 0 if (old.get("spec") or {}).get("minReplicas") == 0 else 1)


def autoscaler_status(new: Object, old: Object) -> list[Problem]:
    """Counts are not negative."""
    status, path = new.get("status") or {}, Path("status")
    return [
        problem
        for field in ("currentReplicas", "desiredReplicas")
        for problem in nonnegative(status.get(field), path.child(field))
    ]


def scale(obj: Object) -> list[Problem]:
    """A Scale."""
    return nonnegative((obj.get("spec") or {}).get("replicas"), _SPEC.child("replicas"))


def object_reference(reference: Object, path: Path) -> list[Problem]:
    """A CrossVersionObjectReference: a kind and a name."""
    problems: list[Problem] = []
    for field in ("kind", "name"):
        value = reference.get(field, "")
        where = path.child(field)
        problems += sentences(path_segment(value), value, where) if value else [required(where)]
    return problems


def _autoscaler(obj: Object, least: int) -> list[Problem]:
    spec = obj.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    problems: list[Problem] = []
    if low is not None and low < least:
        problems.append(invalid(_SPEC.child("minReplicas"), low, f"must be greater than or equal to {least}"))
    if high < 1:
        problems.append(invalid(_SPEC.child("maxReplicas"), high, "must be greater than 0"))
    if low is not None and high < low:
        text = "must be greater than or equal to `minReplicas`"
        problems.append(invalid(_SPEC.child("maxReplicas"), high, text))
    problems += object_reference(spec.get("scaleTargetRef") or {}, _SPEC.child("scaleTargetRef"))
    problems += _metrics(spec.get("metrics") or [], low, _SPEC.child("metrics"))
    behavior = spec.get("behavior") or {}
    for direction in ("scaleUp", "scaleDown"):
        if behavior.get(direction) is not None:
            problems += _rules(behavior[direction], _SPEC.child("behavior", direction))
    return problems


def _metrics(metrics: list[dict[str, Any]], low: int | None, path: Path) -> list[Problem]:
    problems = [problem for position, each in enumerate(metrics) for problem in _metric(each, path.index(position))]
    if low == 0 and not any(each.get("type") in ("Object", "External") for each in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        problems.append(forbidden(path, text))
    return problems


def _metric(metric: Object, path: Path) -> list[Problem]:
    kind = metric.get("type", "")
    problems: list[Problem] = []
    if not kind:
        problems.append(required(path.child("type"), "must specify a metric source type"))
    unknown = [] if kind in _SOURCES else [not_supported(path.child("type"), kind, _SOURCES)]
    problems += unknown
    given = [field for field in _FIELDS if metric.get(field) is not None]
    if given:
        problems += _source(given[0], metric[given[0]], path.child(given[0]))
    expected = "" if unknown else kind[:1].lower() + kind[1:]
    if expected and metric.get(expected) is None:
        problems.append(required(path.child(expected), "must populate information for the given metric source"))
    problems += unknown  # upstream says it twice
    if len(given) != 1:
        text = "must populate the given metric source only"
        problems += [forbidden(path.child(field), text) for field in given if field != expected]
    return problems


def _source(field: str, source: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    target, where = source.get("target") or {}, path.child("target")
    if field == "object":
        problems += object_reference(source.get("describedObject") or {}, path.child("describedObject"))
    if field in ("object", "external", "pods"):
        name = (source.get("metric") or {}).get("name", "")
        place = path.child("metric", "name")
        problems += (
            sentences(path_segment(name), name, place) if name else [required(place, "must specify a metric name")]
        )
    elif not source.get("name"):
        problems.append(required(path.child("name"), "must specify a resource name"))
    elif field == "containerResource":
        problems += container_resource_name(source["name"], path.child("name"))
    if field == "containerResource":
        container, place = source.get("container", ""), path.child("container")
        problems += dns_label(container, place) if container else [required(place, "must specify a container")]
    problems += _target(target, where)
    return problems + _amounts(field, target, where)


def _amounts(field: str, target: Object, path: Path) -> list[Problem]:
    value, average, utilization = (
        target.get(name) is not None for name in ("value", "averageValue", "averageUtilization")
    )
    match field:
        case "object":
            text = "must set either a target value or averageValue"
            return [] if value or average else [required(path.child("averageValue"), text)]
        case "external":
            if not value and not average:
                text = "must set either a target value for metric or a per-pod target"
                return [required(path.child("averageValue"), text)]
            text = "may not set both a target value for metric and a per-pod target"
            return [forbidden(path.child("value"), text)] if value and average else []
        case "pods":
            text = "must specify a positive target averageValue"
            return [] if average else [required(path.child("averageValue"), text)]
    if not utilization and not average:
        return [required(path.child("averageUtilization"), _EITHER)]
    return [forbidden(path.child("averageValue"), _BOTH)] if utilization and average else []


def _target(target: Object, path: Path) -> list[Problem]:
    kind = target.get("type", "")
    problems: list[Problem] = []
    if not kind:
        problems.append(required(path.child("type"), "must specify a metric target type"))
    if kind not in _TARGETS:
        problems.append(invalid(path.child("type"), kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        amount = target.get(field)
        if amount is not None and quantity.parse(amount).nano <= 0:
            problems.append(invalid(path.child(field), go_quantity(amount), "must be positive"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        problems.append(invalid(path.child("averageUtilization"), utilization, "must be greater than 0"))
    return problems


def _rules(rules: Mapping[str, Any], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    window, where = rules.get("stabilizationWindowSeconds"), path.child("stabilizationWindowSeconds")
    if window is not None and window < 0:
        problems.append(invalid(where, window, "must be greater than or equal to zero"))
    if window is not None and window > _MAX_WINDOW:
        problems.append(invalid(where, window, f"must be less than or equal to {_MAX_WINDOW}"))
    choice = rules.get("selectPolicy")
    if choice is not None and choice not in _SELECT:
        problems.append(not_supported(path.child("selectPolicy"), choice, _SELECT))
    policies, where = rules.get("policies") or [], path.child("policies")
    if not policies:
        problems.append(required(where, "must specify at least one Policy"))
    for position, policy in enumerate(policies):
        place, seconds = where.index(position), policy.get("periodSeconds") or 0
        if policy.get("type") not in _POLICIES:
            problems.append(not_supported(place.child("type"), policy.get("type", ""), _POLICIES))
        if (policy.get("value") or 0) <= 0:
            problems.append(invalid(place.child("value"), policy.get("value") or 0, NOT_POSITIVE))
        if seconds <= 0:
            problems.append(invalid(place.child("periodSeconds"), seconds, NOT_POSITIVE))
        if seconds > _MAX_PERIOD:
            text = f"must be less than or equal to {_MAX_PERIOD}"
            problems.append(invalid(place.child("periodSeconds"), seconds, text))
    return problems
