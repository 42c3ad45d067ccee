"""What the x-kubernetes-validations of a schema are refused for when the definition is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.paths import Path, Problem, Verbatim, duplicate, invalid, not_supported, required
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.program import compile_expression
from controlplane.apiserver.extensions.rules import has_rules, uses_old, variables

Schema = Mapping[str, Any]
Object = dict[str, Any]

_REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_MAX_MESSAGE = 2048
_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:\\.|[^'\\])*)'\]")


def rule_problems(schema: Schema, path: Path, *, root: bool, correlatable: bool = True) -> Iterator[Problem]:
    """Of this node and all below it. correlatable: whether an update knows which old value is this node's."""
    if not has_rules(schema):
        return
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _rule(schema, rule, path.child("x-kubernetes-validations").index(at), root, correlatable)
    seen: set[str] = set()
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if rule.get("rule") in seen:
            yield duplicate(path.child("x-kubernetes-validations").index(at).child("rule"), rule["rule"])
        seen.add(rule.get("rule") or "")
    granular = correlatable and schema.get("x-kubernetes-map-type") != "atomic"
    for name, below in (schema.get("properties") or {}).items():
        embedded = bool(below.get("x-kubernetes-embedded-resource"))
        yield from rule_problems(below, path.child("properties").key(name), root=embedded, correlatable=granular)
    if isinstance(schema.get("additionalProperties"), dict):
        below = schema["additionalProperties"]
        yield from rule_problems(below, path.child("additionalProperties"), root=False, correlatable=granular)
    if isinstance(schema.get("items"), dict):
        keyed = correlatable and schema.get("x-kubernetes-list-type") == "map"
        embedded = bool(schema["items"].get("x-kubernetes-embedded-resource"))
        yield from rule_problems(schema["items"], path.child("items"), root=embedded, correlatable=keyed)


def _rule(schema: Schema, rule: Object, path: Path, root: bool, correlatable: bool) -> Iterator[Problem]:
    text, message = str(rule.get("rule") or ""), rule.get("message")
    if not text.strip():
        yield required(path.child("rule"), "rule is not specified")
        return
    if message is not None and not str(message).strip():
        yield invalid(path.child("message"), message, "message must be non-empty if specified")
    elif message and "\n" in str(message).strip():
        yield invalid(path.child("message"), message, "message must not contain line breaks")
    elif message and len(str(message)) > _MAX_MESSAGE:
        yield invalid(
            path.child("message"),
            str(message)[:10] + "...",
            f"message must have a maximum length of {_MAX_MESSAGE} characters",
        )
    if "\n" in text.strip() and not message:
        yield required(path.child("message"), "message must be specified if rule contains line breaks")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield not_supported(path.child("reason"), rule["reason"], sorted(_REASONS))
    if rule.get("fieldPath") is not None:
        yield from _field_path(schema, str(rule["fieldPath"]), path.child("fieldPath"))
    try:
        names = variables(schema, root=root, optional_old=bool(rule.get("optionalOldSelf")))
    except CelError as e:
        yield invalid(path, Verbatim(f'"{text}"'), str(e))
        return
    yield from _expression(text, names, path.child("rule"), "bool", "cel expression must evaluate to a bool")
    said = rule.get("messageExpression")
    if said is not None and not str(said).strip():
        yield required(path.child("messageExpression"), "messageExpression must be non-empty if specified")
    elif said:
        sentence = "messageExpression must evaluate to a string"
        yield from _expression(str(said), names, path.child("messageExpression"), "string", sentence)
    yield from _transition(text, names, rule, path, correlatable)


def _expression(text: str, names: Mapping[str, Any], path: Path, kind: str, sentence: str) -> Iterator[Problem]:
    try:
        program = compile_expression(text, names)
    except CelError as e:
        yield invalid(path, text, f"compilation failed: {e}")
        return
    if program.type.name not in (kind, "dyn"):
        yield invalid(path, text, sentence)


def _transition(text: str, names: Mapping[str, Any], rule: Object, path: Path, correlatable: bool) -> Iterator[Problem]:
    try:
        transition = uses_old(compile_expression(text, names))
    except CelError:
        return
    if transition and not correlatable:
        yield invalid(path.child("rule"), text, "oldSelf cannot be used on the uncorrelatable portion of the schema")
    if rule.get("optionalOldSelf") is not None and not transition:
        yield invalid(
            path.child("optionalOldSelf"), rule["optionalOldSelf"], "may not be set if oldSelf is not used in rule"
        )


def _field_path(schema: Schema, text: str, path: Path) -> Iterator[Problem]:
    if not text.strip():
        yield invalid(path, text, "must be non-empty if specified")
        return
    if not text.startswith((".", "[")):
        yield invalid(path, text, f"fieldPath must be a valid path: expected [ or . but got: {text}")
        return
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        name = (match[1] or match[2]) if match else None
        below = (schema.get("properties") or {}).get(name) or schema.get("additionalProperties")
        if match is None or not isinstance(below, dict):
            yield invalid(path, text, "fieldPath must be a valid path: does not refer to a valid field")
            return
        schema, at = below, match.end()
