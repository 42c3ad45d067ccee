"""When a Job's pods and indexes count as failed or the Job as done (pkg/apis/batch/validation)."""

import re
from typing import Any

from apimachinery.api.validation.checks import Object, nonnegative, qualified_name
from apimachinery.api.validation.go_values import go_pointer, go_struct
from apimachinery.meta.paths import (
    Path,
    Problem,
    Verbatim,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_STATUSES = ("False", "True", "Unknown")
_OPERATORS = ("In", "NotIn")
_MAX_RULES = 20
_MAX_PATTERNS = 20
_MAX_CODES = 255
_MAX_INDEXES_TEXT = 64 * 1024


def failure_policy(spec: Object, path: Path) -> list[Problem]:
    """`podFailurePolicy`: rules of exit codes or of pod conditions."""
    rules, where = (spec.get("podFailurePolicy") or {}).get("rules") or [], path.child("rules")
    problems = [too_many(where, len(rules), _MAX_RULES)] if len(rules) > _MAX_RULES else []
    pod = (spec.get("template") or {}).get("spec") or {}
    known = {each.get("name") for kind in ("containers", "initContainers") for each in pod.get(kind) or ()}
    for position, rule in enumerate(rules):
        problems += _failure_rule(rule, spec, known, where.index(position))
    return problems


def replacement_policy(spec: Object, path: Path) -> list[Problem]:
    """`podReplacementPolicy`: with a failure policy, pods are replaced only once they have failed."""
    policy = spec.get("podReplacementPolicy")
    supported = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    return [] if policy is None or policy in supported else [not_supported(path, policy, supported)]


def success_policy(spec: Object, path: Path) -> list[Problem]:
    """`successPolicy` of an indexed Job."""
    rules, where = (spec.get("successPolicy") or {}).get("rules") or [], path.child("rules")
    problems: list[Problem] = []
    if not rules:
        problems.append(required(where, "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > _MAX_RULES:
        problems.append(too_many(where, len(rules), _MAX_RULES))
    for position, rule in enumerate(rules):
        problems += _success_rule(rule, spec.get("completions") or 0, where.index(position))
    return problems


def go_failure_policy(policy: Object) -> Verbatim:
    """A `podFailurePolicy` as Go prints it."""
    shown = []
    for rule in policy.get("rules") or ():
        codes = go_pointer("batch.PodFailurePolicyOnExitCodesRequirement", rule.get("onExitCodes"))
        kind = "batch.PodFailurePolicyOnPodConditionsPattern"
        patterns = ", ".join(go_struct(kind, ("type", "status"), each) for each in rule.get("onPodConditions") or ())
        shown.append(
            f'batch.PodFailurePolicyRule{{Action:"{rule.get("action", "")}", OnExitCodes:{codes}, '
            f"OnPodConditions:[]{kind}{f'{{{patterns}}}' if patterns else '(nil)'}}}"
        )
    return _go_rules("batch.PodFailurePolicy", shown)


def go_success_policy(policy: Object) -> Verbatim:
    """A `successPolicy` as Go prints it."""
    shown = [
        f"batch.SuccessPolicyRule{{SucceededIndexes:{go_pointer('string', rule.get('succeededIndexes'))}, "
        f"SucceededCount:{go_pointer('int32', rule.get('succeededCount'))}}}"
        for rule in policy.get("rules") or ()
    ]
    return _go_rules("batch.SuccessPolicy", shown)


def _go_rules(kind: str, shown: list[str]) -> Verbatim:
    rules = f"{{{', '.join(shown)}}}" if shown else "(nil)"
    return Verbatim(f"{kind}{{Rules:[]{kind}Rule{rules}}}")


def _failure_rule(rule: Object, spec: Object, known: set[Any], path: Path) -> list[Problem]:
    action, where = rule.get("action", ""), path.child("action")
    problems: list[Problem] = []
    if not action:
        problems.append(required(where, _valid(_ACTIONS)))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            problems.append(invalid(where, action, "requires the backoffLimitPerIndex to be set"))
    elif action not in _ACTIONS:
        problems.append(not_supported(where, action, _ACTIONS))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        problems += _exit_codes(codes, known, path.child("onExitCodes"))
    problems += _conditions(conditions, path.child("onPodConditions"))
    if codes is not None and conditions:
        problems.append(without_value(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not conditions:
        problems.append(without_value(path, "specifying one of OnExitCodes and OnPodConditions is required"))
    return problems


def _conditions(patterns: list[dict[str, Any]], path: Path) -> list[Problem]:
    problems = [too_many(path, len(patterns), _MAX_PATTERNS)] if len(patterns) > _MAX_PATTERNS else []
    for position, pattern in enumerate(patterns):
        where, status = path.index(position), pattern.get("status", "")
        problems += qualified_name(pattern.get("type", ""), where.child("type"))
        if not status:
            problems.append(required(where.child("status"), _valid(_STATUSES)))
        elif status not in _STATUSES:
            problems.append(not_supported(where.child("status"), status, _STATUSES))
    return problems


def _exit_codes(codes: Object, known: set[Any], path: Path) -> list[Problem]:
    operator, where = codes.get("operator", ""), path.child("operator")
    problems: list[Problem] = []
    if not operator:
        problems.append(required(where, _valid(_OPERATORS)))
    elif operator not in _OPERATORS:
        problems.append(not_supported(where, operator, _OPERATORS))
    name = codes.get("containerName")
    if name is not None and name not in known:
        text = "must be one of the container or initContainer names in the pod template"
        problems.append(invalid(path.child("containerName"), name, text))
    values, where = codes.get("values") or [], path.child("values")
    shown = Verbatim("[]int32{" + ", ".join(map(str, values)) + "}" if values else "[]int32(nil)")
    if not values:
        problems.append(invalid(where, shown, "at least one value is required"))
    elif len(values) > _MAX_CODES:
        problems.append(too_many(where, len(values), _MAX_CODES))
    for position, value in enumerate(values):
        if operator == "In" and value == 0:
            problems.append(invalid(where.index(position), value, "must not be 0 for the In operator"))
        if value in values[:position]:
            problems.append(duplicate(where.index(position), value))
    if sorted(values) != values:
        problems.append(invalid(where, shown, "must be ordered"))
    return problems


def _success_rule(rule: Object, completions: int, path: Path) -> list[Problem]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    problems: list[Problem] = []
    if indexes is None and count is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        problems.append(required(path, text))
    total = 0
    if indexes is not None:
        where = path.child("succeededIndexes")
        if len(indexes.encode()) > _MAX_INDEXES_TEXT:
            problems.append(too_long(where, _MAX_INDEXES_TEXT))
        intervals, wrong = indexes_named(indexes, completions)
        total = sum(last - first + 1 for first, last in intervals)
        if wrong:
            problems.append(invalid(where, indexes, f"error parsing succeededIndexes: {wrong}"))
    if count is not None:
        where = path.child("succeededCount")
        problems += nonnegative(count, where)
        least = "must be less than or equal to"
        if count > completions:
            problems.append(invalid(where, count, f"{least} {completions} (the number of specified completions)"))
        if indexes is not None and count > total:
            text = f"{least} {total} (the number of indexes in the specified succeededIndexes field)"
            problems.append(invalid(where, count, text))
    return problems


def indexes_named(text: str, completions: int) -> tuple[list[tuple[int, int]], str]:
    """The first and last of each interval that "1,3-5" names, and what is wrong with it."""
    intervals: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        bounds = part.split("-")
        if len(bounds) > 2:
            text = "violates the requirement that an index interval can have at most two parts separated by '-'"
            return [], f'the fragment "{part}" {text}'
        numbers = []
        for bound in bounds:
            if not re.fullmatch("[+-]?[0-9]+", bound):
                return [], f'cannot convert string to integer for index: "{bound}"'
            numbers.append(int(bound))
            if numbers[-1] >= completions:
                return [], f'too large index: "{bound}"'
        if intervals and intervals[-1][1] >= numbers[0]:
            return [], f"non-increasing order, previous: {intervals[-1][1]}, current: {numbers[0]}"
        if len(numbers) == 2 and numbers[0] >= numbers[1]:
            return [], f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}"
        intervals.append((numbers[0], numbers[-1]))
    return intervals, ""


def _valid(values: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def without_value(path: Path, text: str) -> Problem:
    """A problem whose value is not shown."""
    return Problem("FieldValueInvalid", str(path), f"Invalid value: {text}")
