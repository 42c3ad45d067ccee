"""CEL rules over objects: what a schema's types make of the values."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.cel import CelError
from controlplane.apiserver.extensions import rules
from controlplane.apiserver.extensions.rules import Rules, compile_rule
from controlplane.apiserver.extensions.values import ABSENT

Object = dict[str, Any]

TEXT = {"type": "string"}
SET = {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}
MAP = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "properties": {"k": TEXT, "v": {"type": "integer"}, "words": SET}},
}
DATE = {"type": "string", "format": "date-time"}
PROPERTIES = {
    "words": SET,
    "items": MAP,
    "plain": {"type": "array", "items": TEXT},
    "when": DATE,
    "none": {"type": "string", "nullable": True},
    "if": TEXT,
    "any": {"x-kubernetes-int-or-string": True},
}


def said(rule: str, value: Object, old: Any = ABSENT, **schema: Any) -> list[str]:
    whole = {"type": "object", "properties": PROPERTIES, **schema, "x-kubernetes-validations": [{"rule": rule}]}
    compile_rule(whole, whole["x-kubernetes-validations"][0], root=False)
    compiled = Rules.of(whole, root=False)
    assert compiled is not None
    return [each.message for each in compiled.check(value, old, None)]


ONE = {"k": "a", "v": 1, "words": ["x", "y"]}
TWO = {"k": "b", "v": 2}


@pytest.mark.parametrize(
    ("rule", "value", "old"),
    [
        ("self.words == oldSelf.words", {"words": ["a", "b"]}, {"words": ["b", "a"]}),
        ("self.words == ['b', 'a']", {"words": ["a", "b"]}, ABSENT),
        ("['b', 'a'] != self.words", {"words": ["a", "b"]}, ABSENT),
        ("self.words != ['a', 'c']", {"words": ["a", "b"]}, ABSENT),
        ("self.plain != ['b', 'a']", {"plain": ["a", "b"]}, ABSENT),
        ("self.words + ['b', 'c'] == ['a', 'b', 'c']", {"words": ["a", "b"]}, ABSENT),
        ("self.items == oldSelf.items", {"items": [ONE, TWO]}, {"items": [TWO, ONE]}),
        ("self.items != oldSelf.items", {"items": [ONE, TWO]}, {"items": [TWO, {**ONE, "v": 3}]}),
        ("self.items == oldSelf.items", {"items": [ONE]}, {"items": [{**ONE, "words": ["y", "x"]}]}),
        ("self.items + oldSelf.items == oldSelf.items", {"items": [ONE, TWO]}, {"items": [TWO, {**ONE, "v": 3}]}),
        # an object that may not change
        ("self == oldSelf", {"words": ["a", "b"], "items": [ONE, TWO]}, {"words": ["b", "a"], "items": [TWO, ONE]}),
        ("self == oldSelf", {"when": "2024-01-01T01:00:00+01:00"}, {"when": "2024-01-01T00:00:00Z"}),
        ("self != oldSelf", {"words": ["a", "b"]}, {"words": ["a", "c"]}),
        ("self != oldSelf", {"words": ["a"], "plain": []}, {"words": ["a"], "if": ""}),
        # null is as good as nothing
        ("!has(self.none)", {"none": None}, ABSENT),
        ("self.?none.orValue('x') == 'x'", {"none": None}, ABSENT),
        # a field whose name is a word of the language
        ("self.if == 'x' && self.__if__ == 'x' && has(self.if)", {"if": "x"}, ABSENT),
    ],
)
def test_holds(rule: str, value: Object, old: Any) -> None:
    assert said(rule, value, old) == []


def test_a_null_field_cannot_be_read() -> None:
    (message,) = said("self.none == 'x'", {"none": None})
    assert "no such key: none evaluating rule" in message


def test_metadata_that_the_schema_describes() -> None:
    metadata = {"type": "object", "properties": {"name": TEXT, "generateName": TEXT, "namespace": TEXT}}
    pod = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"kind": TEXT, "apiVersion": TEXT, "metadata": metadata},
    }
    value = {"pod": {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "b"}}}
    assert said("self.pod.metadata.namespace == 'b'", value, properties={"pod": pod}) == []


def test_a_rule_gives_true_or_false_for_sure() -> None:
    with pytest.raises(CelError, match="cel expression must evaluate to a bool"):
        said("self.any", {"any": 1})


@pytest.mark.parametrize(
    ("rule", "budget", "said"),
    [
        (
            {"rule": "self.plain[0] != 'a'"},
            1,
            "validation failed due to running out of cost budget, no further validation rules will be run",
        ),
        (
            {"rule": "false", "messageExpression": "'a' + self.plain[0]"},
            1,
            "messageExpression evaluation failed due to running out of cost budget, no further validation rules will "
            "be run",
        ),
        (
            {"rule": "false", "messageExpression": "self.plain" + ".map(x, self.plain" * 3 + ".join()" + ")" * 3},
            100_000_000,
            "no further validation rules will be run due to call cost exceeds limit for messageExpression: ",
        ),
    ],
)
def test_what_is_said_when_nothing_is_left(
    rule: Object, budget: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ".map" in rule.get("messageExpression", ""):
        rule = {**rule, "messageExpression": rule["messageExpression"] + ".size() > 0 ? 'a' : 'b'"}
    monkeypatch.setattr(rules, "BUDGET", budget)
    schema = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": [rule, {"rule": "false"}]}
    compiled = Rules.of(schema, root=False)
    assert compiled is not None
    (problem,) = compiled.check({"plain": ["a"] * 200}, ABSENT, None)
    assert said in problem.message


def test_a_stored_rule_that_does_not_compile_lets_nothing_pass() -> None:
    schema = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": [{"rule": "self.nope"}]}
    compiled = Rules.of(schema, root=False)
    assert compiled is not None
    for old in (ABSENT, {}):
        (problem,) = compiled.check({}, old, lambda _: None)
        assert "rule compile error: compilation failed: ERROR: <input>:1:5: undefined field 'nope'" in problem.message


def test_a_message_that_does_not_compile_is_none() -> None:
    rule = {"rule": "false", "message": "no", "messageExpression": "self.nope"}
    compiled = Rules.of({"type": "object", "x-kubernetes-validations": [rule]}, root=False)
    assert compiled is not None
    assert [each.message.rpartition(": ")[2] for each in compiled.check({}, ABSENT, None)] == ["no"]


def test_an_unchanged_kind_is_judged_again() -> None:
    ruled = {**TEXT, "x-kubernetes-validations": [{"rule": "self == 'x'"}]}
    compiled = Rules.of({"type": "object", "properties": {"kind": ruled, "word": ruled}}, root=False)
    assert compiled is not None
    warnings: list[str] = []
    same = {"kind": "a", "word": "b"}
    assert [each.path for each in compiled.check(same, same, warnings.append)] == ["kind"]
    assert len(warnings) == 1 and warnings[0].startswith("word: ")
