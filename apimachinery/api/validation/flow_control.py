"""FlowSchemas and PriorityLevelConfigurations (pkg/apis/flowcontrol/validation)."""

import math
from typing import Any

from apimachinery.api.validation.checks import Object, dns_label, dns_subdomain, same, sentences
from apimachinery.api.validation.go_values import go_strings
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, Verbatim, duplicate, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_METHODS = ("ByNamespace", "ByUser")
_KINDS = ("Group", "ServiceAccount", "User")
_LEVELS = ("Exempt", "Limited")
_RESPONSES = ("Queue", "Reject")
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_MAX_PRECEDENCE = 10000
_MAX_QUEUES = 10 * 1000 * 1000
_MAX_HASH_BITS = 60
# Marks zero shares in the group's last beta; it has no place in version 1.
_ROUND_TRIP = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
_MEMBER = "each member of this list must be '*' or a DNS-1123 label; "
_EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
_ALL_PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}


def _for_groups(*groups: str) -> list[dict[str, Any]]:
    subjects = [{"kind": "Group", "group": {"name": group}} for group in groups]
    return [{"subjects": subjects, "resourceRules": [_EVERYTHING], "nonResourceRules": [_ALL_PATHS]}]


# The two schemas and two levels that must be what they are (pkg/apis/flowcontrol/internalbootstrap).
_FIXED_SCHEMAS: dict[str, Object] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": _for_groups("system:masters"),
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _for_groups("system:unauthenticated", "system:authenticated"),
    },
}
_CATCH_ALL: Object = {
    "type": "Limited",
    "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
}


def flow_schema(obj: Object) -> list[Problem]:
    """Precedence, the level it leads to, and rules of subjects and requests."""
    spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or ""
    problems: list[Problem] = []
    precedence, path = spec.get("matchingPrecedence") or 0, _SPEC.child("matchingPrecedence")
    if precedence <= 0:
        problems.append(invalid(path, precedence, "must be a positive value"))
    if precedence > _MAX_PRECEDENCE:
        problems.append(invalid(path, precedence, f"must not be greater than {_MAX_PRECEDENCE}"))
    if precedence == 1 and name != "exempt":
        problems.append(invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        shown = Verbatim(f'flowcontrol.FlowDistinguisherMethod{{Type:"{method.get("type", "")}"}}')
        problems.append(not_supported(_SPEC.child("distinguisherMethod", "type"), shown, _METHODS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    path = _SPEC.child("priorityLevelConfiguration", "name")
    problems += dns_subdomain(level, path) if level else [required(path, "must reference a priority level")]
    for position, rule in enumerate(spec.get("rules") or ()):
        problems += _rule(rule, _SPEC.child("rules").index(position))
    if name in _FIXED_SCHEMAS and not same(spec, _FIXED_SCHEMAS[name]):
        problems.append(invalid(_SPEC, spec, f"spec of '{name}' must equal the fixed value"))
    return problems + _conditions(obj)


def priority_level(obj: Object) -> list[Problem]:
    """A level is exempt or limited; what exceeds its limits waits or is refused."""
    spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or ""
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    problems: list[Problem] = []
    if _ROUND_TRIP in ((obj.get("metadata") or {}).get("annotations") or {}):
        problems.append(forbidden(Path("metadata.annotations"), f"annotation '{_ROUND_TRIP}' is forbidden"))
    if (name == "exempt") != (kind == "Exempt"):
        problems.append(invalid(_SPEC.child("type"), kind, "type must be 'Exempt' if and only if name is 'exempt'"))
    match kind:
        case "Exempt":
            if limited is not None:
                text = "must be nil if the type is not Limited"
                problems.append(forbidden(_SPEC.child("limited"), text))
            if exempt is not None:
                problems += _shares(exempt, _SPEC.child("exempt")) + _lendable(exempt, _SPEC.child("exempt"))
        case "Limited":
            if exempt is not None:
                problems.append(forbidden(_SPEC.child("exempt"), "must be nil if the type is Limited"))
            if limited is None:
                problems.append(required(_SPEC.child("limited"), "must not be empty when type is Limited"))
            else:
                problems += _limited(limited, _SPEC.child("limited"))
        case _:
            problems.append(not_supported(_SPEC.child("type"), kind, _LEVELS))
    if name == "catch-all" and not same(spec, _CATCH_ALL):
        problems.append(invalid(_SPEC, spec, "spec of 'catch-all' must equal the fixed value"))
    if name == "exempt" and not same({**spec, "exempt": None}, {"type": "Exempt"}):
        text = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
        problems.append(invalid(_SPEC, spec, text))
    return problems + _conditions(obj)


def flow_control_status(new: Object, old: Object) -> list[Problem]:
    """Conditions with types, each once."""
    return _conditions(new)


def _rule(rule: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    subjects, resources, others = (rule.get(field) or [] for field in ("subjects", "resourceRules", "nonResourceRules"))
    for position, subject in enumerate(subjects):
        problems += _subject(subject, path.child("subjects").index(position))
    if not subjects:
        problems.append(required(path.child("subjects"), "subjects must contain at least one value"))
    if not resources and not others:
        problems.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for position, each in enumerate(resources):
        problems += _resources(each, path.child("resourceRules").index(position))
    for position, each in enumerate(others):
        problems += _paths(each, path.child("nonResourceRules").index(position))
    return problems


def _subject(subject: Object, path: Path) -> list[Problem]:
    kind = subject.get("kind", "")
    if kind not in _KINDS:
        return [not_supported(path.child("kind"), kind, _KINDS)]
    field = kind[:1].lower() + kind[1:]
    found, where = subject.get(field), path.child(field)
    problems: list[Problem] = []
    if found is None:
        problems.append(required(where, f"{field} is required when subject kind is '{kind}'"))
    else:
        name = found.get("name", "")
        if not name:
            problems.append(required(where.child("name")))
        elif kind == "ServiceAccount" and name != "*":
            problems += dns_subdomain(name, where.child("name"))
        if kind == "ServiceAccount":
            namespace, place = found.get("namespace", ""), where.child("namespace")
            text = "must specify namespace for service account"
            problems += dns_label(namespace, place) if namespace else [required(place, text)]
    for other, owner in (("serviceAccount", "ServiceAccount"), ("user", "User"), ("group", "Group")):
        if other != field and subject.get(other) is not None:
            text = f"{other} is forbidden when subject kind is not '{owner}'"
            problems.append(forbidden(path.child(other), text))
    return problems


def _verbs(rule: Object, path: Path) -> list[Problem]:
    verbs, where = rule.get("verbs") or [], path.child("verbs")
    if not verbs:
        return [required(where, "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(verbs, where, "verbs")
    return [not_supported(where, go_strings(verbs), _VERBS)] if set(verbs) - set(_VERBS) else []


def _alone(values: list[str], path: Path, what: str) -> list[Problem]:
    text = f"if '*' is present, must not specify other {what}"
    return [invalid(path, go_strings(values), text)] if len(values) > 1 and "*" in values else []


def _resources(rule: Object, path: Path) -> list[Problem]:
    problems = _verbs(rule, path)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values, where = rule.get(field) or [], path.child(field)
        if not values:
            problems.append(required(where, f"resource rules must supply at least one {one}"))
        problems += _alone(values, where, many)
    namespaces, where = rule.get("namespaces") or [], path.child("namespaces")
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        problems.append(required(where, text))
    elif "*" in namespaces:
        problems += _alone(namespaces, where, "namespaces")
    else:
        for position, name in enumerate(namespaces):
            texts = [_MEMBER + text for text in names.dns1123_label(name)]
            problems += sentences(texts, name, where.index(position))
    return problems


def _paths(rule: Object, path: Path) -> list[Problem]:
    problems = _verbs(rule, path)
    urls, where = rule.get("nonResourceURLs") or [], path.child("nonResourceURLs")
    if not urls:
        problems.append(required(where, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        problems += _alone(urls, where, "non-resource URLs")
    else:
        for position, url in enumerate(urls):
            if wrong := _url_error(url):
                problems.append(invalid(where.index(position), url, wrong))
    return problems


def _url_error(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars and not url.endswith("/*")) else ""


def _shares(level: Object, path: Path) -> list[Problem]:
    shares = level.get("nominalConcurrencyShares") or 0
    if shares >= 0:
        return []
    return [invalid(path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer")]


def _lendable(level: Object, path: Path) -> list[Problem]:
    percent = level.get("lendablePercent")
    if percent is None or 0 <= percent <= 100:
        return []
    return [invalid(path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive")]


def _limited(limited: Object, path: Path) -> list[Problem]:
    problems = _shares(limited, path) + _response(limited.get("limitResponse") or {}, path.child("limitResponse"))
    problems += _lendable(limited, path)
    borrow = limited.get("borrowingLimitPercent")
    if borrow is not None and borrow < 0:
        text = "if specified, must be a non-negative integer"
        problems.append(invalid(path.child("borrowingLimitPercent"), borrow, text))
    return problems


def _response(response: Object, where: Path) -> list[Problem]:
    problems: list[Problem] = []
    queuing = response.get("queuing")
    match response.get("type", ""):
        case "Reject":
            if queuing is not None:
                text = "must be nil if limited.limitResponse.type is not Limited"
                problems.append(forbidden(where.child("queuing"), text))
        case "Queue":
            if queuing is None:
                text = "must not be empty if limited.limitResponse.type is Limited"
                problems.append(required(where.child("queuing"), text))
            else:
                problems += _queuing(queuing, where.child("queuing"))
        case kind:
            problems.append(not_supported(where.child("type"), kind, _RESPONSES))
    return problems


def _queuing(queuing: Object, path: Path) -> list[Problem]:
    length, queues, hand = (queuing.get(field) or 0 for field in ("queueLengthLimit", "queues", "handSize"))
    problems = [] if length > 0 else [invalid(path.child("queueLengthLimit"), length, "must be positive")]
    if queues <= 0:
        problems.append(invalid(path.child("queues"), queues, "must be positive"))
    elif queues > _MAX_QUEUES:
        problems.append(invalid(path.child("queues"), queues, f"must not be greater than {_MAX_QUEUES}"))
    where = path.child("handSize")
    if hand <= 0:
        problems.append(invalid(where, hand, "must be positive"))
    elif hand > queues:
        problems.append(invalid(where, hand, f"should not be greater than queues ({queues})"))
    elif _entropy(queues, hand) > _MAX_HASH_BITS:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than "
        problems.append(invalid(where, hand, f"{text}{_MAX_HASH_BITS}"))
    return problems


def _entropy(deck: int, hand: int) -> int:
    """The bits it takes to say which `hand` of `deck` queues, in order (util/shufflesharding)."""
    return math.ceil(math.log2(float(deck)) * hand)


def _conditions(obj: Object) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        where, kind = Path("status.conditions").index(position).child("type"), condition.get("type", "")
        if kind in seen:
            problems.append(duplicate(where, kind))
        seen.add(kind)
        if not kind:
            problems.append(required(where, "must not be empty"))
    return problems
