"""Which names a definition gets, and what its conditions say. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from controlplane.apiserver.extensions.definition import ESTABLISHED, NAMES_ACCEPTED, bundle_error, is_protected

Object = dict[str, Any]

_APPROVAL = "api-approved.kubernetes.io"


def plan_status(definition: Object, others: Sequence[Object], now: str) -> Object:
    """The status that a definition should have. others: those of the same group."""
    state: Object = definition.get("status") or {}
    asked, have = definition["spec"]["names"], state.get("acceptedNames") or {}
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        names = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {names.get("plural") or "", names.get("singular") or "", *(names.get("shortNames") or ())} - {""}
        kinds |= {names.get("kind") or "", names.get("listKind") or ""} - {""}
    accepted, reason, message = _accept(asked, have, resources, kinds)
    if reason == "NoConflicts":
        state = with_condition(state, NAMES_ACCEPTED, "True", reason, message, now)
        if not _established(state):
            state = with_condition(state, ESTABLISHED, *_establishing(definition["spec"]), now)
    else:
        state = with_condition(state, NAMES_ACCEPTED, "False", reason, message, now)
        if not _established(state):
            state = with_condition(state, ESTABLISHED, "False", "NotAccepted", "not all names are accepted", now)
    state = _approval(definition, state, now)
    return {**state, "acceptedNames": accepted}


def _establishing(spec: Object) -> tuple[str, str, str]:
    """Status, reason and message of a definition that has its names."""
    if bundle_error(spec):
        return "False", "InvalidCABundle", "The conversion webhook CABundle is invalid"
    return "True", "InitialNamesAccepted", "the initial names have been accepted"


def _accept(asked: Object, have: Object, resources: set[str], kinds: set[str]) -> tuple[Object, str, str]:
    """The names as far as they are free; the last conflict's reason and message."""
    accepted = dict(have)
    reason, message = "NoConflicts", "no conflicts found"
    for field, taken, word in (
        ("plural", resources, "PluralConflict"),
        ("singular", resources, "SingularConflict"),
        ("shortNames", resources, "ShortNamesConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        value, mine = asked.get(field), have.get(field)
        if field == "shortNames":
            wanted = [each for each in value or () if each not in (mine or ()) and each in taken]
            wrong = [f'"{each}" is already in use' for each in wanted]
            sentence = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        else:
            wrong = [value] if value != mine and value in taken else []
            sentence = f'"{value}" is already in use'
        if wrong:
            reason, message = word, sentence
        elif value:
            accepted[field] = value
        else:
            accepted.pop(field, None)
    if asked.get("categories"):
        accepted["categories"] = asked["categories"]
    else:
        accepted.pop("categories", None)
    return accepted, reason, message


def _established(state: Object) -> bool:
    return any(each["type"] == ESTABLISHED and each["status"] == "True" for each in state.get("conditions") or ())


def _approval(definition: Object, state: Object, now: str) -> Object:
    group = definition["spec"]["group"]
    if not is_protected(group):
        return state
    said = (definition["metadata"].get("annotations") or {}).get(_APPROVAL)
    kind = "KubernetesAPIApprovalPolicyConformant"
    if not said:
        sentence = (
            f'protected groups must have approval annotation "{_APPROVAL}", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        return with_condition(state, kind, "False", "MissingAnnotation", sentence, now)
    if said.startswith("unapproved"):
        sentence = f"not approved: {json.dumps(said, ensure_ascii=False)}"
        return with_condition(state, kind, "False", "UnapprovedAnnotation", sentence, now)
    return with_condition(state, kind, "True", "ApprovedAnnotation", f"approved in {said}", now)


def with_condition(state: Object, kind: str, value: str, reason: str, message: str, now: str) -> Object:
    """The status with that condition; the time stays while the value does. Itself when nothing changes."""
    conditions: list[Object] = list(state.get("conditions") or ())
    wanted: Object = {"type": kind, "status": value, "lastTransitionTime": now, "reason": reason, "message": message}
    for at, each in enumerate(conditions):
        if each["type"] == kind:
            if each["status"] == value:
                wanted["lastTransitionTime"] = each.get("lastTransitionTime")
            if wanted == each:
                return state
            conditions[at] = wanted
            return {**state, "conditions": conditions}
    return {**state, "conditions": [*conditions, wanted]}
