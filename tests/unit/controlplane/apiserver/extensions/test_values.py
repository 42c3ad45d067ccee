"""Values against a schema, in kube-openapi's words; what an update leaves alone; the pieces around it."""

# ruff: noqa: E501 (a table of messages is read by the line)

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.extensions.cel_types import escape
from controlplane.apiserver.extensions.columns import Columns
from controlplane.apiserver.extensions.names import plan_status
from controlplane.apiserver.extensions.paths import BadPath, find, parse
from controlplane.apiserver.extensions.rules import Rules
from controlplane.apiserver.extensions.values import ABSENT, check

CASES: list[tuple[str, dict[str, Any], Any, list[str]]] = [
    ("null", {"type": "string"}, None, ['x: Invalid value: "null": x in body must be of type string: "null"']),
    ("nullable", {"type": "string", "nullable": True}, None, []),
    ("bool-is-no-integer", {"type": "integer"}, True, ['x: Invalid value: "boolean": x in body must be of type integer: "boolean"']),
    ("whole-float", {"type": "integer"}, 2.0, []),
    ("either", {"x-kubernetes-int-or-string": True}, 1.5, ['x: Invalid value: "number": x in body must be of type integer,string: "number"']),
    ("min-length", {"type": "string", "minLength": 2}, "a", ['x: Invalid value: "a": x in body should be at least 2 chars long']),
    ("exclusive", {"type": "integer", "maximum": 3, "exclusiveMaximum": True}, 3, ["x: Invalid value: 3: x in body should be less than 3"]),
    ("multiple", {"type": "integer", "multipleOf": 3}, 4, ["x: Invalid value: 4: x in body should be a multiple of 3"]),
    ("max-items", {"type": "array", "maxItems": 1, "items": {"type": "integer"}}, [1, 2], ["x: Too many: 2: must have at most 1 items"]),
    ("min-items", {"type": "array", "minItems": 1, "items": {"type": "integer"}}, [], ["x: Invalid value: 0: x in body should have at least 1 items"]),
    ("min-properties", {"type": "object", "minProperties": 2}, {"a": 1}, ["x: Invalid value: 1: x in body should have at least 2 properties"]),
    ("max-properties", {"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}, ["x: Too many: 2: must have at most 1 items"]),
    ("format", {"type": "string", "format": "date-time"}, "today", ['x: Invalid value: "today": x in body must be of type date-time: "today"']),
    ("good-format", {"type": "string", "format": "ipv4"}, "10.0.0.1", []),
    ("unknown-format", {"type": "string", "format": "nonsense"}, "x", []),
    ("int32-is-no-bound", {"type": "integer", "format": "int32"}, 2**31, []),
    ("format-of-a-number", {"type": "string", "format": "date-time"}, 5, ['x: Invalid value: "int64": x in body must be of type date-time: "int64"']),
    ("first-bound-of-a-text", {"type": "string", "maxLength": 2, "pattern": "^a"}, "bbb", ["x: Too long: may not be more than 2 bytes"]),
    ("float-bound", {"type": "number", "maximum": 3}, 3.5, ["x: Invalid value: 3.5: x in body should be less than or equal to 3"]),
    ("bounds-in-order", {"type": "integer", "maximum": 0, "multipleOf": 2}, 1, ["x: Invalid value: 1: x in body should be a multiple of 2", "x: Invalid value: 1: x in body should be less than or equal to 0"]),
    ("type-and-enum", {"type": "string", "enum": ["a"]}, 1, ['x: Invalid value: "integer": x in body must be of type string: "integer"', 'x: Unsupported value: 1: supported values: "a"']),
    ("null-is-never-listed", {"type": "string", "nullable": True, "enum": ["a", None]}, None, ['x: Unsupported value: "null": supported values: "a", "null"']),
    ("neither", {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, True, ['x: Invalid value: "boolean": x in body must be of type integer,string: "boolean"', '<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)', 'x: Invalid value: "boolean": x in body must be of type integer: "boolean"']),
    ("nearest-alternative", {"type": "object", "oneOf": [{"required": ["b"]}, {"required": ["c", "d"], "properties": {"a": {"enum": [1]}}}]}, {"a": 1}, ['<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid', "x.c: Required value", "x.d: Required value"]),
    ("items-before-their-number", {"type": "array", "maxItems": 1, "items": {"type": "integer"}}, [1, "a"], ['x[1]: Invalid value: "string": x[1] in body must be of type integer: "string"', "x: Too many: 2: must have at most 1 items"]),
    ("enum", {"type": "integer", "enum": [1, 2]}, 3, ['x: Unsupported value: 3: supported values: "1", "2"']),
    ("nested", {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object", "required": ["a"]}}}}, {"l": [{}]}, ["x.l[0].a: Required value"]),
    ("one-of", {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 2}, ['<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives']),
    ("any-of", {"type": "object", "anyOf": [{"required": ["a"]}]}, {}, ['<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)', "x.a: Required value"]),
    ("all-of", {"type": "integer", "allOf": [{"minimum": 3}]}, 1, ["x: Invalid value: 1: x in body should be greater than or equal to 3", '<nil>: Invalid value: "": "x" must validate all the schemas (allOf). None validated']),
    ("some-of-all", {"type": "integer", "allOf": [{"minimum": 3}, {"minimum": 0}]}, 1, ["x: Invalid value: 1: x in body should be greater than or equal to 3", '<nil>: Invalid value: "": "x" must validate all the schemas (allOf)']),
    ("not", {"type": "integer", "not": {"minimum": 3}}, 4, ['<nil>: Invalid value: "": "x" must not validate the schema (not)']),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "problems"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_check(schema: dict[str, Any], value: Any, problems: list[str]) -> None:
    assert [str(problem) for problem in check(schema, value, "x")] == problems


SMALL = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}, "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "old", "count"),
    [
        ({"a": "long"}, {"a": "long"}, 0),
        ({"a": "long", "b": 1}, {"a": "long"}, 0),
        ({"a": "longer"}, {"a": "long"}, 1),
        ({"a": "long"}, {}, 1),
        ({"l": [{"k": "y"}, {"k": "x", "v": "long"}]}, {"l": [{"k": "x", "v": "long"}]}, 0),
        ({"l": [{"k": "z", "v": "long"}]}, {"l": [{"k": "x", "v": "long"}]}, 1),
    ],
)
def test_only_what_changed_is_judged(value: Any, old: Any, count: int) -> None:
    assert len(check(SMALL, value, "", old)) == count


def test_alternatives_are_judged_again_but_not_what_is_below_them() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "allOf": [{"properties": {"a": {"maxLength": 1}}}, {"required": ["b"]}]}  # fmt: skip
    found = check(schema, {"a": "long", "c": 1}, "x", {"a": "long"})
    assert [str(each) for each in found] == ["x.b: Required value", '<nil>: Invalid value: "": "x" must validate all the schemas (allOf)']  # fmt: skip


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3), max_leaves=10))  # fmt: skip
def test_no_value_breaks_it(value: Any) -> None:
    for _, schema, _, _ in CASES:
        check(schema, value, "x")


RULE = {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "optionalOldSelf": False}]}


def _messages(schema: dict[str, Any], value: Any, old: Any = ABSENT) -> list[str]:
    rules = Rules.of(schema, root=False)
    assert rules is not None
    warned: list[str] = []
    return [str(problem) for problem in rules.check(value, old, warned.append)] + [f"warning {each}" for each in warned]


@pytest.mark.parametrize(
    ("schema", "value", "old", "messages"),
    [
        ({"rule": "self > 1"}, 1, ABSENT, ['<nil>: Invalid value: "integer": failed rule: self > 1']),
        ({"rule": "self > 1", "message": "too small"}, 1, ABSENT, ['<nil>: Invalid value: "integer": too small']),
        ({"rule": "self > 1", "messageExpression": "'have ' + string(self)"}, 1, ABSENT, ['<nil>: Invalid value: "integer": have 1']),
        ({"rule": "self > 1", "messageExpression": "string(1 / 0)", "message": "plain"}, 1, ABSENT, ['<nil>: Invalid value: "integer": plain']),
        ({"rule": "self > 1", "reason": "FieldValueRequired"}, 1, ABSENT, ["<nil>: Required value: failed rule: self > 1"]),
        ({"rule": "self >= oldSelf"}, 1, ABSENT, []),
        ({"rule": "self >= oldSelf"}, 1, 2, ['<nil>: Invalid value: "integer": failed rule: self >= oldSelf']),
        ({"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "optionalOldSelf": True}, 1, ABSENT, []),
        ({"rule": "oldSelf.hasValue()", "optionalOldSelf": True}, 1, ABSENT, ['<nil>: Invalid value: "integer": failed rule: oldSelf.hasValue()']),
        ({"rule": "self / 0 == 1"}, 1, ABSENT, ['<nil>: Invalid value: "integer": division by zero evaluating rule: self / 0 == 1']),
        ({"rule": "self > 1"}, 1, 1, ['warning <nil>: Invalid value: "integer": failed rule: self > 1']),
    ],
)  # fmt: skip
def test_rules(schema: dict[str, Any], value: Any, old: Any, messages: list[str]) -> None:
    assert _messages({"type": "integer", "x-kubernetes-validations": [schema]}, value, old) == messages


def test_rules_below_know_their_old_value() -> None:
    schema = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": RULE}}}  # fmt: skip
    found = _messages(schema, [{"k": "b", "v": 1}, {"k": "a", "v": 1}], [{"k": "a", "v": 5}, {"k": "b", "v": 0}])
    assert found == ['[1].v: Invalid value: "integer": failed rule: self >= oldSelf']


def test_rules_of_items_are_ratcheted_with_their_list() -> None:
    schema = {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}}
    sentence = '[0]: Invalid value: "integer": failed rule: self > 1'
    assert _messages(schema, [1], [1]) == [f"warning {sentence}"]
    assert _messages(schema, [1, 2], [1]) == [sentence]


def test_typed_values_in_rules() -> None:
    schema = {
        "type": "object",
        "properties": {"since": {"type": "string", "format": "date-time"}, "for": {"type": "string", "format": "duration"}, "a-b": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.since.getFullYear() == 2024 && self.__for__ > duration('1m') && self.a__dash__b == 1"}],
    }  # fmt: skip
    assert _messages(schema, {"since": "2024-05-01T00:00:00Z", "for": "2m", "a-b": 1}) == []


def test_rules_of_the_whole_object_see_its_name() -> None:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "x-kubernetes-validations": [{"rule": "self.metadata.name == 'a' && self.kind == 'K' && self.spec.n == 1"}],
    }
    rules = Rules.of(schema)
    assert rules is not None
    obj = {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "labels": {}}, "spec": {"n": 1}}
    assert rules.check(obj, ABSENT, print) == []
    assert len(rules.check({**obj, "metadata": {"name": "b"}}, obj, print)) == 1


def test_long_lists_are_compared_in_one_walk() -> None:
    items = [{"k": str(number), "v": "x"} for number in range(20_000)]
    changed = [*items[:-1], {"k": "19999", "v": "long"}]
    assert len(check(SMALL, {"l": changed}, "", {"l": items})) == 1


def test_a_budget_for_all_rules_together() -> None:
    schema = {
        "type": "object",
        "properties": {"l": {"type": "array", "items": {"type": "integer"}}},
        "x-kubernetes-validations": [{"rule": f"self.l.all(x, self.l.all(y, self.l.all(z, z >= {n})))"} for n in range(3)],
    }  # fmt: skip
    (found,) = _messages(schema, {"l": list(range(300))})
    assert "call cost exceeds limit" in found


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a", "a"), ("a.b-c/d", "a__dot__b__dash__c__slash__d"), ("a__b", "a__underscores__b"), ("namespace", "__namespace__"), ("1a", None), ("a b", None), ("in", "__in__")],
)  # fmt: skip
def test_names_of_fields_in_expressions(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("{.a.b}", [1]),
        (".missing.b", []),
        (".l[0].n", ["x"]),
        (".l[-1].n", ["y"]),
        (".l[*].n", ["x", "y"]),
        (".a['c.d']", [2]),
        (".a.c\\.d", [2]),
        ('.l[?(@.n=="y")].v', [2]),
        ('.l[?(@.n!="y")].v', [1]),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    obj = {"a": {"b": 1, "c.d": 2}, "l": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]}
    assert find(obj, parse(path)) == found


@pytest.mark.parametrize("path", ["a.b", ".a[", ".a[?(x)]", ".a..b"])
def test_bad_paths(path: str) -> None:
    with pytest.raises(BadPath):
        parse(path)


def test_columns() -> None:
    columns = Columns(
        [
            {"name": "S", "type": "string", "jsonPath": ".s"},
            {"name": "I", "type": "integer", "jsonPath": ".s"},
            {"name": "B", "type": "boolean", "jsonPath": ".b", "priority": 1},
            {"name": "D", "type": "date", "jsonPath": ".d"},
            {"name": "L", "type": "string", "jsonPath": ".l[*].n"},
            {"name": "M", "type": "string", "jsonPath": ".l[1].n"},
            {"name": "N", "type": "string", "jsonPath": ".nothing"},
            {"name": "X", "type": "string", "jsonPath": ".l[}"},
            {"name": "Y", "type": "string", "jsonPath": ".s"},
        ]
    )
    obj = {
        "metadata": {"name": "x"},
        "s": "text",
        "b": False,
        "d": "2024-01-01T00:00:00Z",
        "l": [{"n": 1}, {"n": {"b": 1, "a": 2}}],
        "nothing": None,
    }
    now = datetime(2024, 1, 1, 1, 0, tzinfo=UTC)
    assert columns.cells(obj, now) == ["x", "text", None, False, "60m", "1", '{"a":2,"b":1}', "<no value>"]
    assert [each["priority"] for each in columns.definitions] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert [each["name"] for each in Columns(None).definitions] == ["Name", "Age"]


def _definition(name: str, **names: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.g.io"},
        "spec": {"group": "g.io", "names": {"plural": name, "singular": name[:-1], "kind": name.title(), "listKind": name.title() + "List", **names}},
        "status": {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}},
    }  # fmt: skip


def test_names_are_given_and_refused() -> None:
    first = _definition("cats", shortNames=["c"])
    first["status"] = plan_status(first, [], "t1")
    assert first["status"]["acceptedNames"] == first["spec"]["names"]
    assert plan_status(first, [], "t2") == first["status"]  # nothing to write
    second = _definition("cows", shortNames=["c", "cow2"])
    state = plan_status(second, [first], "t2")
    accepted, established = state["conditions"]
    assert (accepted["reason"], accepted["message"]) == ("ShortNamesConflict", '"c" is already in use')
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    assert "shortNames" not in state["acceptedNames"] and state["acceptedNames"]["plural"] == "cows"
    freed = plan_status({**second, "status": state}, [], "t3")
    assert [(each["type"], each["status"]) for each in freed["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]


@pytest.mark.parametrize("group", ["k8s.io", "a.kubernetes.io"])
def test_groups_that_need_an_approval(group: str) -> None:
    definition = _definition("cats")
    definition["spec"]["group"] = group
    definition["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, we don't ask"}
    found = plan_status(definition, [], "t1")["conditions"][-1]
    assert (found["type"], found["reason"]) == ("KubernetesAPIApprovalPolicyConformant", "UnapprovedAnnotation")
    assert found["message"] == 'not approved: "unapproved, we don\'t ask"'
