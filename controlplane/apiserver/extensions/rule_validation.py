"""What the x-kubernetes-validations of a schema are refused for when the definition is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required
from controlplane.apiserver.cel.errors import CelError, refusal
from controlplane.apiserver.cel.estimate import worst_cost
from controlplane.apiserver.cel.program import compile_expression
from controlplane.apiserver.extensions.field_paths import BadFieldPath, follow
from controlplane.apiserver.extensions.rule_costs import RULE_LIMIT, Total, exceeded, multiplied
from controlplane.apiserver.extensions.rules import has_rules, uses_old, variables
from controlplane.apiserver.extensions.sizes import MAX_REQUEST, shape_of

Schema = Mapping[str, Any]
Object = dict[str, Any]

_REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_LINE_BREAK = re.compile(r"[\n\r]")


def rule_problems(schema: Schema, path: Path) -> list[Problem]:
    """Of a root schema and all below it; path: of openAPIV3Schema."""
    total = Total()
    return [*_below(_Node(schema, path, True, None, 1), total), *total.problems(path)]


@dataclass(frozen=True, slots=True)
class _Node:
    """root: an object with kind and metadata. uncorrelated: the node above from which on an update cannot tell which
    old value is whose (None: it can). count: how many of this node an object may have; None: nothing says."""

    schema: Schema
    path: Path
    root: bool
    uncorrelated: Path | None
    count: int | None

    def children(self) -> Iterator[_Node]:
        granular = self.schema.get("x-kubernetes-map-type") != "atomic"
        more, items = self.schema.get("additionalProperties"), self.schema.get("items")
        if isinstance(more, dict):
            count = multiplied(self.count, self.schema.get("maxProperties"))
            yield self._child(more, self.path.child("additionalProperties"), granular, count)
        for name, below in (self.schema.get("properties") or {}).items():
            yield self._child(below, self.path.child("properties").key(name), granular, self.count)
        if isinstance(items, dict):
            keyed = self.schema.get("x-kubernetes-list-type") == "map"
            count = multiplied(self.count, self.schema.get("maxItems"))
            yield self._child(items, self.path.child("items"), keyed, count)

    def _child(self, schema: Schema, path: Path, correlatable: bool, count: int | None) -> _Node:
        lost = self.uncorrelated if self.uncorrelated is not None or correlatable else self.path
        return _Node(schema, path, bool(schema.get("x-kubernetes-embedded-resource")), lost, count)


def _below(node: _Node, total: Total) -> Iterator[Problem]:
    if not has_rules(node.schema):
        return
    for child in node.children():
        yield from _below(child, total)
    path = node.path.child("x-kubernetes-validations")
    for at, rule in enumerate(node.schema.get("x-kubernetes-validations") or ()):
        yield from _rule(node, rule, path.index(at), total)


def form_problems(schema: Schema, path: Path) -> Iterator[Problem]:
    """What is wrong with the rules of one node beside what they say."""
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _form(schema, rule, path.child("x-kubernetes-validations").index(at))


def _form(schema: Schema, rule: Object, path: Path) -> Iterator[Problem]:
    text, message, said = (str(rule.get(key) or "") for key in ("rule", "message", "messageExpression"))
    if not text.strip():
        yield required(path.child("rule"), "rule is not specified")
    elif message and not message.strip():
        yield invalid(path.child("message"), message, "message must be non-empty if specified")
    elif _LINE_BREAK.search(message.strip()):
        yield invalid(path.child("message"), message, "message must not contain line breaks")
    elif _LINE_BREAK.search(text.strip()) and not message:
        yield required(path.child("message"), "message must be specified if rule contains line breaks")
    if said and not said.strip():
        yield required(path.child("messageExpression"), "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield not_supported(path.child("reason"), rule["reason"], sorted(_REASONS))
    field = str(rule.get("fieldPath") or "")
    if not field:
        return
    if not field.strip():
        yield invalid(path.child("fieldPath"), field, "fieldPath must be non-empty if specified")
    if _LINE_BREAK.search(field):
        yield invalid(path.child("fieldPath"), field, "fieldPath must not contain line breaks")
    try:
        follow(field, schema)
    except BadFieldPath:
        yield invalid(path.child("fieldPath"), field, "fieldPath must be a valid path")


def _rule(node: _Node, rule: Object, path: Path, total: Total) -> Iterator[Problem]:
    text = str(rule.get("rule") or "")
    try:
        names = variables(node.schema, root=node.root, optional_old=bool(rule.get("optionalOldSelf")))
    except CelError as e:
        yield invalid(path, Verbatim(f'"{text}"'), str(e))
        return
    yield from _expression(text, names, rule, path.child("rule"), "bool", "cel expression must evaluate to a bool")
    said = rule.get("messageExpression")
    if said:
        sentence = "messageExpression must evaluate to a string"
        yield from _expression(str(said), names, rule, path.child("messageExpression"), "string", sentence)
    yield from _costs(node, rule, names, path, total)
    yield from _transition(text, names, rule, path, node.uncorrelated)


def _expression(
    text: str, names: Mapping[str, Any], rule: Object, path: Path, kind: str, sentence: str
) -> Iterator[Problem]:
    try:
        program = compile_expression(text, names)
    except CelError as e:
        # upstream says of messages that they compile or instantiate, not that a program does
        said = refusal(e) if kind == "bool" else f"messageExpression {refusal(e).removeprefix('program ')}"
        yield invalid(path, _go_rule(rule), said)
        return
    if program.type.name != kind:
        yield invalid(path, _go_rule(rule), sentence)


def _costs(node: _Node, rule: Object, names: Mapping[str, Any], path: Path, total: Total) -> Iterator[Problem]:
    """What the rule and its message cost at worst, each as often as an object can have this node."""
    shape = shape_of(node.schema, root=node.root)
    if shape is None:
        return
    for key, text, count in (
        (
            "rule",
            str(rule.get("rule") or ""),
            node.count if node.count is not None else MAX_REQUEST // (shape.least + 1),
        ),
        ("messageExpression", str(rule.get("messageExpression") or ""), 1),
    ):
        if not text.strip():
            continue
        try:
            cost = multiplied(worst_cost(text, names, shape.at), count)
        except CelError:
            continue  # told as what does not compile
        assert cost is not None
        total.observe(path.child(key), cost)
        if cost > RULE_LIMIT:
            yield forbidden(path.child(key), exceeded(f"estimated {key} cost", cost, RULE_LIMIT))


def _go_rule(rule: Object) -> Verbatim:
    """A rule as Go prints the struct; what is pointed at has some address."""
    texts = [
        f"{go}:{quoted(str(rule.get(key) or ''))}"
        for go, key in (("Rule", "rule"), ("Message", "message"), ("MessageExpression", "messageExpression"))
    ]
    reason = "nil" if rule.get("reason") is None else "0xc000000000"
    old = "nil" if rule.get("optionalOldSelf") is None else "0xc000000000"
    texts.append(f"Reason:(*apiextensions.FieldValueErrorReason)({reason})")
    texts.append(f"FieldPath:{quoted(str(rule.get('fieldPath') or ''))}")
    texts.append(f"OptionalOldSelf:(*bool)({old})")
    return Verbatim("apiextensions.ValidationRule{" + ", ".join(texts) + "}")


def _transition(
    text: str, names: Mapping[str, Any], rule: Object, path: Path, uncorrelated: Path | None
) -> Iterator[Problem]:
    try:
        transition = uses_old(compile_expression(text, names))
    except CelError:
        return
    if transition and uncorrelated is not None:
        sentence = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        yield invalid(path.child("rule"), text, sentence)
    if rule.get("optionalOldSelf") is not None and not transition:
        yield invalid(
            path.child("optionalOldSelf"), rule["optionalOldSelf"], "may not be set if oldSelf is not used in rule"
        )
