"""Webhook configurations, and the rules they share with admission policies (pkg/apis/admissionregistration)."""

from typing import Any

from apimachinery.api.validation.checks import Object, label_selector, qualified_name, same
from apimachinery.api.validation.go_values import go_list, go_strings
from apimachinery.api.validation.syntax import fully_qualified_name
from apimachinery.api.validation.webhook_clients import client_config
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, duplicate, invalid, not_supported, required, too_many

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_NO_SIDE_EFFECTS = _SIDE_EFFECTS[:2]
_REINVOCATION = ("IfNeeded", "Never")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_VERSIONS = ("v1", "v1beta1")
_MAX_CONDITIONS = 64


def webhooks(obj: Object) -> list[Problem]:
    """A new configuration."""
    return _webhooks(obj, strict=True, known_versions=True, unique=True)


def webhooks_update(new: Object, old: Object) -> list[Problem]:
    """What was stored under an older version's rules may stay, and conditions that no webhook changed."""
    after, before = (each.get("webhooks") or [] for each in (new, old))
    kept = [[hook.get("matchConditions") or [] for hook in hooks] for hooks in (after, before)]
    hook_names = [hook.get("name") for hook in before]
    return _webhooks(
        new,
        strict=all(hook.get("sideEffects") in _NO_SIDE_EFFECTS for hook in before),
        known_versions=all(set(hook.get("admissionReviewVersions") or _VERSIONS) & set(_VERSIONS) for hook in before),
        unique=len(set(hook_names)) == len(hook_names),
        conditions=not same(*kept),
    )


def _webhooks(
    obj: Object, *, strict: bool, known_versions: bool, unique: bool, conditions: bool = True
) -> list[Problem]:
    problems: list[Problem] = []
    mutating = obj.get("kind") == "MutatingWebhookConfiguration"
    seen: set[str] = set()
    for position, hook in enumerate(obj.get("webhooks") or ()):
        where, name = Path("webhooks").index(position), hook.get("name", "")
        problems += _webhook(hook, where, mutating, strict)
        if conditions:
            problems += match_conditions(hook.get("matchConditions") or [], where.child("matchConditions"))
        path, versions = where.child("admissionReviewVersions"), hook.get("admissionReviewVersions") or []
        problems += _review_versions(versions, known_versions, path)
        if unique and name:
            if name in seen:
                problems.append(duplicate(where.child("name"), name))
            seen.add(name)
    return problems


def _webhook(hook: Object, path: Path, mutating: bool, strict: bool) -> list[Problem]:
    problems = fully_qualified_name(hook.get("name", ""), path.child("name"))
    for position, each in enumerate(hook.get("rules") or ()):
        problems += rule(each, path.child("rules").index(position))
    problems += _optional(hook, "failurePolicy", FAILURE_POLICIES, path)
    problems += _optional(hook, "matchPolicy", MATCH_POLICIES, path)
    allowed, effects = (_NO_SIDE_EFFECTS if strict else _SIDE_EFFECTS), hook.get("sideEffects")
    if effects is None:
        problems.append(required(path.child("sideEffects"), f"must specify one of {', '.join(allowed)}"))
    elif effects not in allowed:
        problems.append(not_supported(path.child("sideEffects"), effects, allowed))
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        problems.append(invalid(path.child("timeoutSeconds"), seconds, text))
    for field in ("namespaceSelector", "objectSelector"):
        problems += label_selector(hook.get(field), path.child(field))
    if mutating:
        problems += _optional(hook, "reinvocationPolicy", _REINVOCATION, path)
    return problems + client_config(hook.get("clientConfig") or {}, path.child("clientConfig"))


def match_conditions(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """At most 64 expressions with names of their own. What the expressions say is checked by who evaluates them."""
    problems = [too_many(path, len(found), _MAX_CONDITIONS)] if len(found) > _MAX_CONDITIONS else []
    seen: set[str] = set()
    for position, condition in enumerate(found):
        where, name = path.index(position), condition.get("name", "")
        if not condition.get("expression", "").strip():
            problems.append(required(where.child("expression")))
        problems += qualified_name(name, where.child("name")) if name else [required(where.child("name"))]
        if name and name in seen:
            problems.append(duplicate(where.child("name"), name))
        seen.add(name)
    return problems


def rule(found: Object, path: Path) -> list[Problem]:
    """A RuleWithOperations: which operations on which resources."""
    operations, where = found.get("operations") or [], path.child("operations")
    problems = [] if operations else [required(where)]
    if len(operations) > 1 and "*" in operations:
        shown = go_list("admissionregistration.OperationType", operations)
        problems.append(invalid(where, shown, "if '*' is present, must not specify other operations"))
    problems += [
        not_supported(where.index(position), operation, _OPERATIONS)
        for position, operation in enumerate(operations)
        if operation not in _OPERATIONS
    ]
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values, where = found.get(field) or [], path.child(field)
        if not values:
            problems.append(required(where))
        if len(values) > 1 and "*" in values:
            problems.append(invalid(where, go_strings(values), f"if '*' is present, must not specify other {what}"))
        if field == "apiVersions":
            problems += [required(where.index(position)) for position, value in enumerate(values) if not value]
    problems += _resources(found.get("resources") or [], path.child("resources"))
    return problems + _optional(found, "scope", _SCOPES, path)


def _optional(obj: Object, field: str, supported: tuple[str, ...], path: Path) -> list[Problem]:
    value = obj.get(field)
    return [] if value is None or value in supported else [not_supported(path.child(field), value, supported)]


def _resources(resources: list[str], path: Path) -> list[Problem]:
    problems = [] if resources else [required(path)]
    whole: set[str] = set()
    everywhere: set[str] = set()
    plain = False
    for position, text in enumerate(resources):
        where = path.index(position)
        if not text:
            problems.append(required(where))
            continue
        resource, slash, sub = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if resource in whole:
            problems.append(invalid(where, text, f"if '{resource}/*' is present, must not specify {text}"))
        if sub in everywhere:
            problems.append(invalid(where, text, f"if '*/{sub}' is present, must not specify {text}"))
        if sub == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(sub)
    shown = go_strings(resources)
    if len(resources) > 1 and "*/*" in resources:
        problems.append(invalid(path, shown, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        problems.append(invalid(path, shown, text))
    return problems


def _review_versions(versions: list[str], known: bool, path: Path) -> list[Problem]:
    accepted = ", ".join(_VERSIONS)
    if not versions:
        return [required(path, f"must specify one of {accepted}")]
    problems: list[Problem] = []
    for position, version in enumerate(versions):
        where = path.index(position)
        if version in versions[:position]:
            problems.append(invalid(where, version, "duplicate version"))
            continue
        problems += [invalid(where, version, text) for text in names.dns1035_label(version)]
    if known and not set(versions) & set(_VERSIONS):
        problems.append(invalid(path, go_strings(versions), f"must include at least one of {accepted}"))
    return problems
