"""The scopes of a quota: which pods it is about (core/v1 ResourceQuotaScope)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta import labels

Object = dict[str, Any]


def selectors(quota: Mapping[str, Any]) -> list[Object]:
    """Every scope of a quota as a ScopedResourceSelectorRequirement."""
    spec = quota.get("spec") or {}
    found = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return [*found, *((spec.get("scopeSelector") or {}).get("matchExpressions") or ())]


def matches_pod(selector: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether a pod is in the scope. Raises ValueError for an operator there is not."""
    spec = pod.get("spec") or {}
    match selector.get("scopeName"):
        case "Terminating":
            return _terminating(spec)
        case "NotTerminating":
            return not _terminating(spec)
        case "BestEffort":
            return _best_effort(spec)
        case "NotBestEffort":
            return not _best_effort(spec)
        case "PriorityClass":
            name = spec.get("priorityClassName") or ""
            if selector.get("operator") == "Exists":
                return bool(name)
            return _requirement(selector).matches({"PriorityClass": name} if name else {})
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec)
    return False


def _requirement(selector: Mapping[str, Any]) -> labels.Selector:
    expression = {
        "key": selector["scopeName"], "operator": selector.get("operator", ""), "values": selector.get("values") or ()
    }  # fmt: skip
    return labels.from_label_selector({"matchExpressions": [expression]})


def _terminating(spec: Mapping[str, Any]) -> bool:
    deadline = spec.get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def _best_effort(spec: Mapping[str, Any]) -> bool:
    whole = spec.get("resources") is not None
    for container in [spec] if whole else (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        for section in ("requests", "limits"):
            amounts = resources.get(section) or {}
            if any(labelled in amounts and str(amounts[labelled]) != "0" for labelled in ("cpu", "memory")):
                return False
    return True


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(kind) or {}
        terms = list(part.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            each.get("podAffinityTerm") or {}
            for each in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
