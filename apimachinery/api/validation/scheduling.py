"""Where a pod may run: affinity, tolerations, spreading, gates (pkg/apis/core/validation)."""

from typing import Any

from apimachinery.api.validation.checks import (
    NOT_AN_OPERATOR,
    NOT_POSITIVE,
    Object,
    dns_label,
    dns_subdomain,
    label_selector,
    one_of,
    operator_values,
    qualified_name,
    sentences,
)
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, duplicate, invalid, not_supported, required

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT = "must be in the range 1-100"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def affinity(spec: Object, path: Path) -> list[Problem]:
    """`affinity` of a pod."""
    problems: list[Problem] = []
    if (node := spec.get("nodeAffinity")) is not None:
        where = path.child("nodeAffinity")
        if node.get(_REQUIRED) is not None:
            problems += node_selector(node[_REQUIRED], where.child(_REQUIRED))
        for position, term in enumerate(node.get(_PREFERRED) or ()):
            place = where.child(_PREFERRED).index(position)
            problems += _weight(term, place)
            problems += _node_term(term.get("preference") or {}, place.child("preference"), check_values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        if (pods := spec.get(kind)) is None:
            continue
        where = path.child(kind)
        for position, term in enumerate(pods.get(_REQUIRED) or ()):
            problems += _pod_term(term, where.child(_REQUIRED).index(position))
        for position, term in enumerate(pods.get(_PREFERRED) or ()):
            place = where.child(_PREFERRED).index(position)
            problems += _weight(term, place)
            problems += _pod_term(term.get("podAffinityTerm") or {}, place.child("podAffinityTerm"))
    return problems


def node_selector(selector: Object, path: Path) -> list[Problem]:
    """A NodeSelector: at least one term."""
    where = path.child("nodeSelectorTerms")
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [required(where, "must have at least one node selector term")]
    return [problem for position, term in enumerate(terms) for problem in _node_term(term, where.index(position))]


def _weight(term: Object, path: Path) -> list[Problem]:
    weight = term.get("weight") or 0
    return [] if 1 <= weight <= 100 else [invalid(path.child("weight"), weight, _WEIGHT)]


def _node_term(term: Object, path: Path, check_values: bool = True) -> list[Problem]:
    problems: list[Problem] = []
    for position, requirement in enumerate(term.get("matchExpressions") or ()):
        where = path.child("matchExpressions").index(position)
        problems += operator_values(requirement, _NODE_OPERATORS, where)
        problems += qualified_name(requirement.get("key", ""), where.child("key"))
        for index, value in enumerate(requirement.get("values") or () if check_values else ()):
            problems += sentences(names.label_value(value), value, where.child("values").index(index))
    for position, requirement in enumerate(term.get("matchFields") or ()):
        problems += _node_field(requirement, path.child("matchFields").index(position))
    return problems


def _node_field(requirement: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        problems.append(invalid(path.child("operator"), operator, NOT_AN_OPERATOR))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        problems.append(required(path.child("values"), text))
    if requirement.get("key") != "metadata.name":
        problems.append(invalid(path.child("key"), requirement.get("key", ""), "not a valid field selector key"))
        return problems
    for index, value in enumerate(values):
        problems += dns_subdomain(value, path.child("values").index(index))
    return problems


def _pod_term(term: Object, path: Path) -> list[Problem]:
    problems = label_selector(term.get("labelSelector"), path.child("labelSelector"))
    problems += label_selector(term.get("namespaceSelector"), path.child("namespaceSelector"))
    for name in term.get("namespaces") or ():
        problems += dns_label(name, path.child("namespace"))
    key = term.get("topologyKey", "")
    if not key:
        problems.append(required(path.child("topologyKey"), "can not be empty"))
    return problems + qualified_name(key, path.child("topologyKey"))


def tolerations(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`tolerations` of a pod."""
    problems: list[Problem] = []
    for position, toleration in enumerate(found):
        where = path.index(position)
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        effect, value = toleration.get("effect", ""), toleration.get("value", "")
        if key:
            problems += qualified_name(key, where.child("key"))
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            problems.append(invalid(where.child("operator"), operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            problems.append(invalid(where.child("effect"), effect, text))
        if operator in ("Equal", ""):
            if texts := names.label_value(value):
                problems.append(invalid(where.child("operator"), value, ";".join(texts)))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                problems.append(invalid(where.child("operator"), value, text))
        else:
            problems.append(not_supported(where.child("operator"), operator, ("Equal", "Exists")))
        if effect and effect not in _EFFECTS:
            problems.append(not_supported(where.child("effect"), effect, _EFFECTS))
    return problems


def taints(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`taints` of a node: unique by key and effect."""
    problems: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    for position, taint in enumerate(found):
        where = path.index(position)
        key, effect, value = taint.get("key", ""), taint.get("effect", ""), taint.get("value", "")
        problems += qualified_name(key, where.child("key"))
        if texts := names.label_value(value):
            problems.append(invalid(where.child("value"), value, ";".join(texts)))
        problems += one_of(effect, _EFFECTS, where.child("effect"))
        if (key, effect) in seen:
            text = f"{duplicate(where, taint).message}: taints must be unique by key and effect pair"
            problems.append(Problem("FieldValueDuplicate", str(where), text))
        seen.add((key, effect))
    return problems


def spread_constraints(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`topologySpreadConstraints` of a pod."""
    problems: list[Problem] = []
    pairs = [(each.get("topologyKey", ""), each.get("whenUnsatisfiable", "")) for each in found]
    for position, constraint in enumerate(found):
        where = path.index(position)
        skew = constraint.get("maxSkew") or 0
        if skew <= 0:
            problems.append(invalid(where.child("maxSkew"), skew, NOT_POSITIVE))
        key, action = pairs[position]
        if not key:
            problems.append(required(where.child("topologyKey"), "can not be empty"))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            supported = ("DoNotSchedule", "ScheduleAnyway")
            problems.append(not_supported(where.child("whenUnsatisfiable"), action, supported))
        if pairs[position] in pairs[position + 1 :]:
            problems.append(duplicate(where.child("{topologyKey, whenUnsatisfiable}"), f"{{{key}, {action}}}"))
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                problems.append(invalid(where.child("minDomains"), domains, NOT_POSITIVE))
            if action != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                problems.append(invalid(where.child("minDomains"), domains, text))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(name) is not None:
                problems += one_of(constraint[name], ("Honor", "Ignore"), where.child(name))
        problems += label_selector(constraint.get("labelSelector"), where.child("labelSelector"))
    return problems


def gates(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """`schedulingGates` of a pod: unique."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, gate in enumerate(found):
        name = gate.get("name", "")
        problems += qualified_name(name, path.index(position))
        if name in seen:
            problems.append(duplicate(path.index(position), name))
        seen.add(name)
    return problems
