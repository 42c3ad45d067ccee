"""LimitRanges (pkg/apis/core/validation)."""

from collections.abc import Mapping
from typing import Any

from apimachinery.api.validation.checks import Object, qualified_name
from apimachinery.api.validation.go_values import go_quantity
from apimachinery.api.validation.resources import container_resource_name, is_overcommit_allowed, resource_name
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, required

_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_MAX_MILLI = ((1 << 63) - 1) // 1000
# Two amounts of which the first must not be larger, whose path and whose value upstream shows, and what it calls them.
_RELATIONS = (
    ("min", "max", "min", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request", "default limit"),
    ("min", "default", "default", "min", "min", "default"),
    ("default", "max", "default", "max", "default", "max"),
)


def limit_range(obj: Object) -> list[Problem]:
    """Each type once; minimum ≤ default request ≤ default ≤ maximum; a ratio that min and max allow."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
        where, kind = Path("spec.limits").index(position), limit.get("type", "")
        problems += _type_name(kind, where.child("type"))
        if kind in seen:
            problems.append(duplicate(where.child("type"), kind))
        seen.add(kind)
        problems += _item(limit, kind, where)
    return problems


def _type_name(kind: str, path: Path) -> list[Problem]:
    if problems := qualified_name(kind, path):
        return problems
    if "/" not in kind and kind not in _TYPES:
        return [invalid(path, kind, "must be a standard limit type or fully qualified")]
    return []


def _item(limit: Object, kind: str, path: Path) -> list[Problem]:
    check = container_resource_name if kind in ("Pod", "Container") else resource_name
    problems: list[Problem] = []
    fields = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            fields.remove(field)
            if limit.get(field):
                problems.append(forbidden(path.child(field), "may not be specified when `type` is 'Pod'"))
    if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(field) or {}) for field in ("min", "max")):
        text = "either minimum or maximum storage value is required, but neither was provided"
        problems.append(required(path.child("limits"), text))
    names: dict[str, None] = {}
    for field in fields:
        for name in limit.get(field) or {}:
            problems += check(name, path.child(field).key(name))
            names[name] = None
    amounts = {field: limit.get(field) or {} for field in fields}
    return problems + [problem for name in names for problem in _order(name, amounts, path)]


def _order(name: str, amounts: Mapping[str, Mapping[str, Any]], path: Path) -> list[Problem]:
    """What one resource's amounts must be to each other."""
    found = {field: given[name] for field, given in amounts.items() if name in given}
    size = {field: quantity.parse(text) for field, text in found.items()}
    problems: list[Problem] = []
    for low, high, field, value, smaller, larger in _RELATIONS:
        if low in size and high in size and size[low].nano > size[high].nano:
            text = f"{smaller} value {size[low]} is greater than {larger} value {size[high]}"
            problems.append(invalid(path.child(field).key(name), go_quantity(found[value]), text))
    if "maxLimitRequestRatio" in size:
        where = path.child("maxLimitRequestRatio").key(name)
        problems += _ratio(size, go_quantity(found["maxLimitRequestRatio"]), where)
    limit, request = size.get("default"), size.get("defaultRequest")
    if not is_overcommit_allowed(name) and limit is not None and request is not None and limit.nano != request.nano:
        text = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        problems.append(invalid(path.child("defaultRequest").key(name), go_quantity(found["defaultRequest"]), text))
    return problems


def _ratio(size: Mapping[str, quantity.Quantity], shown: str, path: Path) -> list[Problem]:
    ratio = size["maxLimitRequestRatio"]
    problems: list[Problem] = []
    if ratio.nano < quantity.parse("1").nano:
        problems.append(invalid(path, shown, f"ratio {ratio} is less than 1"))
    if "min" not in size or "max" not in size:
        return problems
    low, high, most = size["min"].value, size["max"].value, float(ratio.value)
    if max(low, high, ratio.value) < _MAX_MILLI:
        low, high, most = size["min"].milli, size["max"].milli, ratio.milli / 1000
    bound = high / low if low else float("inf")
    if most > bound:
        problems.append(invalid(path, shown, f"ratio {ratio} is greater than max/min = {bound:f}"))
    return problems
