"""ResourceQuotas (pkg/apis/core/validation)."""

from typing import Any

from apimachinery.api.validation.checks import Object, quantity_value
from apimachinery.api.validation.go_values import go_list, go_strings
from apimachinery.api.validation.resources import (
    STANDARD_CONTAINER_RESOURCES,
    STANDARD_RESOURCES,
    is_quota_huge_page,
    resource_name,
)
from apimachinery.meta.paths import Path, Problem, Verbatim, invalid, required

_SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_COMPUTE = frozenset(("pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"))
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_STANDARD = STANDARD_RESOURCES - {"storage"} | STANDARD_CONTAINER_RESOURCES
_KIND = "core.ResourceQuotaScope"
_ONLY_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def resource_quota(obj: Object) -> list[Problem]:
    """Limits of known resources, and scopes that go with them."""
    spec, path = obj.get("spec") or {}, Path("spec")
    hard = spec.get("hard") or {}
    problems = _amounts(hard, path.child("hard"))
    scopes, where = spec.get("scopes") or [], path.child("scopes")
    shown = go_list(_KIND, scopes)
    for scope in scopes:
        problems += _scope(scope, hard, where, where, shown)
    if _conflicting(scopes):
        problems.append(invalid(where, shown, "conflicting scopes"))
    selector = spec.get("scopeSelector")
    return problems + (_selector(selector, spec, path.child("scopeSelector", "matchExpressions")) if selector else [])


def resource_quota_create(obj: Object) -> list[Problem]:
    """A new quota's status."""
    return _status(obj)


def resource_quota_update(new: Object, old: Object) -> list[Problem]:
    """The scopes stay."""
    after, before = (each.get("spec") or {} for each in (new, old))
    if set(after.get("scopes") or ()) == set(before.get("scopes") or ()):
        return []
    return [invalid(Path("spec.scopes"), go_list(_KIND, after.get("scopes")), "field is immutable")]


def resource_quota_status(new: Object, old: Object) -> list[Problem]:
    """What is used of what."""
    return _status(new)


def _status(obj: Object) -> list[Problem]:
    status, path = obj.get("status") or {}, Path("status")
    return [problem for field in ("hard", "used") for problem in _amounts(status.get(field) or {}, path.child(field))]


def _amounts(amounts: dict[str, Any], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for name, amount in amounts.items():
        where = path.key(name)
        problems += _resource(name, where)
        problems += quantity_value(name, amount, where)
    return problems


def _resource(name: str, path: Path) -> list[Problem]:
    problems = resource_name(name, path)
    if "/" not in name and not _is_standard(name):
        problems.append(invalid(path, name, "must be a standard resource for quota"))
    return problems


def _is_standard(name: str) -> bool:
    return name in _STANDARD or is_quota_huge_page(name)


def _scope(scope: str, hard: Object, named: Path, where: Path, shown: Verbatim) -> list[Problem]:
    problems: list[Problem] = []
    if scope not in _SCOPES:
        return [invalid(named, shown, "unsupported scope")]
    allowed = {"pods"} if scope == "BestEffort" else _COMPUTE
    for name in sorted(hard):
        if _is_standard(name) and name not in allowed:
            problems.append(invalid(where, shown, "unsupported scope applied to resource"))
    return problems


def _conflicting(scopes: list[str]) -> bool:
    return any(pair <= set(scopes) for pair in _CONFLICTS)


def _selector(selector: Object, spec: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    expressions = selector.get("matchExpressions") or []
    for each in expressions:
        scope, operator, values = each.get("scopeName", ""), each.get("operator", ""), each.get("values") or []
        if scope not in _SCOPES:
            problems.append(invalid(path.child("scopeName"), scope, "unsupported scope"))
        else:
            problems += _scope(scope, spec.get("hard") or {}, path, path, _go_selector(expressions))
        if scope in _SCOPES and scope != "PriorityClass" and operator != "Exists":
            problems.append(invalid(path.child("operator"), operator, _ONLY_EXISTS))
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                problems.append(required(path.child("values"), text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                problems.append(invalid(path.child("values"), go_strings(values), text))
        else:
            problems.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    if _conflicting([each.get("scopeName", "") for each in expressions]):
        problems.append(invalid(path, go_list(_KIND, spec.get("scopes")), "conflicting scopes"))
    return problems


def _go_selector(expressions: list[dict[str, Any]]) -> Verbatim:
    inner = ", ".join(
        f'core.ScopedResourceSelectorRequirement{{ScopeName:"{each.get("scopeName", "")}", '
        f'Operator:"{each.get("operator", "")}", Values:{go_strings(each.get("values"))}}}'
        for each in expressions
    )
    return Verbatim(f"core.ScopeSelector{{MatchExpressions:[]core.ScopedResourceSelectorRequirement{{{inner}}}}}")
