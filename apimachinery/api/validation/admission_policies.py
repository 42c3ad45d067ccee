"""ValidatingAdmissionPolicies and their bindings, all but what CEL expressions say (pkg/apis/admissionregistration)."""

import re

from apimachinery.api.validation.checks import Object, dns_subdomain, label_selector, qualified_name, same, sentences
from apimachinery.api.validation.go_values import go_list
from apimachinery.api.validation.metadata import path_segment
from apimachinery.api.validation.syntax import conditions
from apimachinery.api.validation.webhooks import FAILURE_POLICIES, MATCH_POLICIES, match_conditions, rule
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_MAX_ANNOTATIONS = 20
_MAX_VALUE_EXPRESSION = 5 * 1024
_NOTHING = "validations or auditAnnotations must contain at least one item"
_EXCLUSIVE = "name and selector are mutually exclusive"
_CEL_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)


def admission_policy(obj: Object) -> list[Problem]:
    """What it applies to, and validations or audit annotations."""
    return _policy(obj, True)


def admission_policy_update(new: Object, old: Object) -> list[Problem]:
    """Conditions that were not changed are not judged again."""
    after, before = (each.get("spec") or {} for each in (new, old))
    return _policy(
        new, any(not same(after.get(field), before.get(field)) for field in ("paramKind", "matchConditions"))
    )


def _policy(obj: Object, conditions_too: bool) -> list[Problem]:
    spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or ""
    policy, path = spec.get("failurePolicy"), _SPEC.child("failurePolicy")
    problems: list[Problem] = []
    if policy is None:
        problems.append(required(path))
    elif policy not in FAILURE_POLICIES:
        problems.append(not_supported(path, policy, FAILURE_POLICIES))
    if spec.get("paramKind") is not None:
        problems += _param_kind(spec["paramKind"], _SPEC.child("paramKind"))
    constraints, path = spec.get("matchConstraints"), _SPEC.child("matchConstraints")
    if constraints is None:
        problems.append(required(path))
    else:
        problems += _match_resources(constraints, path)
        if not constraints.get("resourceRules"):
            problems.append(required(path.child("resourceRules")))
    if conditions_too:
        problems += match_conditions(spec.get("matchConditions") or [], _SPEC.child("matchConditions"))
    for position, variable in enumerate(spec.get("variables") or ()):
        problems += _variable(variable, _SPEC.child("variables").index(position))
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        return problems + [required(_SPEC.child(field), _NOTHING) for field in ("validations", "auditAnnotations")]
    for position, each in enumerate(validations):
        problems += _validation(each, _SPEC.child("validations").index(position))
    return problems + _annotations(annotations, name)


def admission_policy_status(new: Object, old: Object) -> list[Problem]:
    """What type checking found."""
    status, path = new.get("status") or {}, Path("status")
    problems: list[Problem] = []
    warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or []
    for position, warning in enumerate(warnings):
        where = path.child("typeChecking", "expressionWarnings").index(position)
        if not warning.get("warning"):
            problems.append(required(where.child("warning")))
        if not warning.get("fieldRef", "").strip():
            problems.append(required(where.child("fieldRef")))
    return problems + conditions(status.get("conditions") or [], path.child("conditions"))


def admission_policy_binding(obj: Object) -> list[Problem]:
    """Which policy, with which parameters, for what, and what follows."""
    spec = obj.get("spec") or {}
    name, path = spec.get("policyName", ""), _SPEC.child("policyName")
    problems = dns_subdomain(name, path) if name else [required(path)]
    if spec.get("paramRef") is not None:
        problems += _param_reference(spec["paramRef"], _SPEC.child("paramRef"))
    if spec.get("matchResources") is not None:
        problems += _match_resources(spec["matchResources"], _SPEC.child("matchResources"))
    return problems + _actions(spec.get("validationActions") or [], _SPEC.child("validationActions"))


def _actions(actions: list[str], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for position, action in enumerate(actions):
        if action not in _ACTIONS:
            problems.append(not_supported(path.index(position), action, _ACTIONS))
        if action in actions[:position]:
            problems.append(duplicate(path.index(position), action))
    if {"Deny", "Warn"} <= set(actions):
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        problems.append(invalid(path, go_list("admissionregistration.ValidationAction", actions), text))
    return problems if actions else [required(path, "at least one validation action is required")]


def _param_kind(kind: Object, path: Path) -> list[Problem]:
    text, where = kind.get("apiVersion", ""), path.child("apiVersion")
    group, _, version = text.rpartition("/")
    problems: list[Problem] = []
    if not text:
        problems.append(required(where))
    elif text.count("/") > 1:
        problems.append(invalid(where, text, f"unexpected GroupVersion string: {text}"))
    else:
        if group and (wrong := names.dns1123_subdomain(group)):
            problems.append(invalid(where, group, ",".join(wrong)))
        if not version:
            problems.append(invalid(where, text, "version must be specified"))
        elif wrong := names.dns1035_label(version):
            problems.append(invalid(where, version, ",".join(wrong)))
    name, where = kind.get("kind", ""), path.child("kind")
    if not name:
        problems.append(required(where))
    elif wrong := names.dns1035_label(name.lower()):
        detail = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        problems.append(invalid(where, name, detail))
    return problems


def _match_resources(found: Object, path: Path) -> list[Problem]:
    policy, where = found.get("matchPolicy"), path.child("matchPolicy")
    problems: list[Problem] = []
    if policy is None:
        problems.append(required(where))
    elif policy not in MATCH_POLICIES:
        problems.append(not_supported(where, policy, MATCH_POLICIES))
    for field in ("namespaceSelector", "objectSelector"):
        where = path.child(field)
        problems += [required(where)] if found.get(field) is None else label_selector(found[field], where)
    for field in ("resourceRules", "excludeResourceRules"):
        for position, each in enumerate(found.get(field) or ()):
            problems += _named_rule(each, path.child(field).index(position))
    return problems


def _named_rule(found: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    known = found.get("resourceNames") or []
    for position, name in enumerate(known):
        where = path.child("resourceNames").index(position)
        problems += sentences(path_segment(name), name, where)
        if name in known[:position]:
            problems.append(duplicate(where, name))
    return problems + rule(found, path)


def _variable(variable: Object, path: Path) -> list[Problem]:
    name = variable.get("name", "")
    problems: list[Problem] = []
    if not name.strip():
        problems.append(required(path.child("name"), "name is not specified"))
    elif not re.fullmatch("[_a-zA-Z][_a-zA-Z0-9]*", name) or name in _CEL_RESERVED:
        problems.append(invalid(path.child("name"), name, "name is not a valid CEL identifier"))
    if not variable.get("expression", "").strip():
        problems.append(required(path.child("expression"), "expression is not specified"))
    return problems


def _validation(validation: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    if not validation.get("expression", "").strip():
        problems.append(required(path.child("expression"), "expression is not specified"))
    expression, message = validation.get("messageExpression", ""), validation.get("message", "")
    if expression and not expression.strip():
        problems.append(invalid(path.child("messageExpression"), expression, "must be non-empty if specified"))
    if message and not message.strip():
        problems.append(invalid(path.child("message"), message, "message must be non-empty if specified"))
    elif re.search("[\n\r]", message.strip()):
        problems.append(invalid(path.child("message"), message, "message must not contain line breaks"))
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        problems.append(not_supported(path.child("reason"), reason, _REASONS))
    return problems


def _annotations(found: list[Object], name: str) -> list[Problem]:
    path = _SPEC.child("auditAnnotations")
    problems: list[Problem] = []
    if len(found) > _MAX_ANNOTATIONS:
        text = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        problems.append(invalid(path, found, text))
    keys = [each.get("key", "") for each in found]
    for position, annotation in enumerate(found):
        where, key = path.index(position), keys[position]
        if name:
            problems += qualified_name(f"{name}/{key}", where.child("key"))
        else:
            problems.append(invalid(where.child("key"), key, "requires metadata.name be non-empty"))
        expression, place = annotation.get("valueExpression", "").strip(), where.child("valueExpression")
        if not expression:
            problems.append(required(place, "valueExpression is not specified"))
        elif len(expression.encode()) > _MAX_VALUE_EXPRESSION:
            problems.append(required(place, f"must not exceed {_MAX_VALUE_EXPRESSION} bytes in length"))
        if key in keys[:position]:
            problems.append(duplicate(where.child("key"), key))
    return problems


def _param_reference(found: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    name, selector = found.get("name", ""), found.get("selector")
    if name:
        problems += sentences(path_segment(name), name, path.child("name"))
        if selector is not None:
            problems.append(forbidden(path.child("name"), _EXCLUSIVE))
    if selector is not None:
        problems += label_selector(selector, path.child("selector"))
        if name:
            problems.append(forbidden(path.child("selector"), _EXCLUSIVE))
    if not name and selector is None:
        problems.append(required(path, "one of name or selector must be specified"))
    action, where = found.get("parameterNotFoundAction"), path.child("parameterNotFoundAction")
    if not action:
        problems.append(required(where))
    elif action not in ("Deny", "Allow"):
        problems.append(not_supported(where, action, ("Deny", "Allow")))
    return problems
