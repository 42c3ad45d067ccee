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
    one_of_given,
    operator_values,
    qualified_name,
)
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, Verbatim, duplicate, forbidden, invalid, not_supported, required

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT = "must be in the range 1-100"
_NO_SELECTOR = "must not be specified when labelSelector is not set"
_BOTH = "exists in both matchLabelKeys and labelSelector"
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
            problems += _node_term(term.get("preference") or {}, place.child("preference"))
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


def _node_term(term: Object, path: Path) -> list[Problem]:
    """Values may be what no label is: 1.33 is the first to look at them."""
    problems: list[Problem] = []
    for position, requirement in enumerate(term.get("matchExpressions") or ()):
        where = path.child("matchExpressions").index(position)
        problems += operator_values(requirement, _NODE_OPERATORS, where)
        problems += qualified_name(requirement.get("key", ""), where.child("key"))
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
    problems += _affinity_keys(term, path)
    key = term.get("topologyKey", "")
    if not key:
        problems.append(required(path.child("topologyKey"), "can not be empty"))
    return problems + qualified_name(key, path.child("topologyKey"))


def _affinity_keys(term: Object, path: Path) -> list[Problem]:
    """`matchLabelKeys` and `mismatchLabelKeys`. The selector has the former already, as expressions of the pod's own
    values: one key more than once means that the selector had it too."""
    selector, matching = term.get("labelSelector"), list(term.get("matchLabelKeys") or ())
    differing = term.get("mismatchLabelKeys") or ()
    problems: list[Problem] = []
    for field, keys in (("matchLabelKeys", matching), ("mismatchLabelKeys", differing)):
        if keys and selector is None:
            problems.append(forbidden(path.child(field), _NO_SELECTOR))
        else:
            for position, key in enumerate(keys):
                problems += qualified_name(key, path.child(field).index(position))
    if selector is not None and matching:
        known = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key", "")
            if key in matching and key in known:
                last = len(matching) - 1 - matching[::-1].index(key)
                problems.append(invalid(path.index(last), key, _BOTH))
            known.add(key)
    for position, key in enumerate(matching):
        if key in differing:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            problems.append(invalid(path.child("matchLabelKeys").index(position), key, text))
    return problems


def _spread_keys(constraint: Object, path: Path) -> list[Problem]:
    keys, selector = constraint.get("matchLabelKeys") or (), constraint.get("labelSelector")
    if not keys:
        return []
    problems = [forbidden(path, _NO_SELECTOR)] if selector is None else []
    selector = selector or {}
    known = {
        *(selector.get("matchLabels") or ()),
        *(each.get("key") for each in selector.get("matchExpressions") or ()),
    }
    for position, key in enumerate(keys):
        problems += qualified_name(key, path.index(position))
        if key in known:
            problems.append(invalid(path.index(position), key, _BOTH))
    return problems


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
            fields = f'Key:"{key}", Value:"{value}", Effect:"{effect}", TimeAdded:<nil>'
            shown = taint if taint.get("timeAdded") else Verbatim(f"core.Taint{{{fields}}}")
            text = f"{duplicate(where, shown).message}: taints must be unique by key and effect pair"
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
            problems += one_of_given(constraint.get(name), ("Honor", "Ignore"), where.child(name))
        problems += _spread_keys(constraint, where.child("matchLabelKeys"))
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
