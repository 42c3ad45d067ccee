"""PodDisruptionBudgets (pkg/apis/policy/validation)."""

from apimachinery.api.validation.checks import (
    Object,
    int_or_percent,
    label_selector,
    nonnegative,
    not_above_100_percent,
)
from apimachinery.api.validation.go_values import go_pointer
from apimachinery.api.validation.syntax import conditions
from apimachinery.meta.paths import Path, Problem, Verbatim, invalid, not_supported

_EVICTION = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def disruption_budget(obj: Object) -> list[Problem]:
    """At most one of minAvailable and maxUnavailable, as a number or up to 100 %."""
    spec, path = obj.get("spec") or {}, Path("spec")
    problems: list[Problem] = []
    bounds = [field for field in ("minAvailable", "maxUnavailable") if spec.get(field) is not None]
    if len(bounds) == 2:
        problems.append(invalid(path, _go_spec(spec), "minAvailable and maxUnavailable cannot be both set"))
    for field in bounds:
        problems += int_or_percent(spec[field], path.child(field))
        problems += not_above_100_percent(spec[field], path.child(field))
    problems += label_selector(spec.get("selector"), path.child("selector"))
    eviction = spec.get("unhealthyPodEvictionPolicy")
    if eviction is not None and eviction not in _EVICTION:
        problems.append(not_supported(path.child("unhealthyPodEvictionPolicy"), eviction, _EVICTION))
    return problems


def _go_spec(spec: Object) -> Verbatim:
    """The spec as Go prints it: its fields are pointers, shown as addresses."""
    kinds = (
        ("MinAvailable", "minAvailable", "intstr.IntOrString"),
        ("Selector", "selector", "v1.LabelSelector"),
        ("MaxUnavailable", "maxUnavailable", "intstr.IntOrString"),
        ("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", "policy.UnhealthyPodEvictionPolicyType"),
    )
    fields = (f"{shown}:{go_pointer(kind, spec.get(name))}" for shown, name, kind in kinds)
    return Verbatim(f"policy.PodDisruptionBudgetSpec{{{', '.join(fields)}}}")


def disruption_budget_status(new: Object, old: Object) -> list[Problem]:
    """Conditions as everywhere; counts are not negative."""
    status, path = new.get("status") or {}, Path("status")
    problems = conditions(status.get("conditions") or [], path.child("conditions"))
    for field in _COUNTS:
        problems += nonnegative(status.get(field), path.child(field))
    return problems
