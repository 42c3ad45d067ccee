"""What objects of a defined kind are refused for, and warned of, when they are written."""

# ruff: noqa: E501 (tables are read by the line)

from __future__ import annotations

from typing import Any, cast

import pytest

from apimachinery.meta.objects import copied
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.extensions.definition import Definition, build
from controlplane.apiserver.extensions.strategies import DefinedStrategy
from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]

NOT_CHECKED = '<nil>: Invalid value: "null": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation'
RULE = {"rule": "!has(self.n) || self.n != 3", "message": "no three"}
SPEC: Object = {
    "type": "object",
    "x-kubernetes-validations": [RULE],
    "properties": {
        "n": {"type": "integer", "minimum": 0},
        "word": {"type": "string", "maxLength": 3, "pattern": "^a"},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
        "inner": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    },
}  # fmt: skip
STATUS: Object = {
    "type": "object",
    "properties": {
        "phase": {"type": "string", "minLength": 1},
        "n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]},
    },
}


def _definition(*versions: Object) -> Definition:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.phase"}
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    found = build(
        {
            "metadata": {"name": "things.example.com", "uid": "1"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
                "versions": [{**first, "subresources": {"status": {}, "scale": scale}}, *versions],
            },
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        },
        cast("WebhookClient", None),
    )
    assert found is not None
    return found


KIND = _definition()


async def _allowed(_: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


def _call(verb: str, subresource: str = "") -> Call:
    return Call(User("u"), KIND.stored, verb, "ns", "a", _allowed, subresource)


def _thing(spec: Object, status: Object | None = None, **metadata: Any) -> Object:
    meta = {"name": "a", "namespace": "ns", "resourceVersion": "1", **metadata}
    found: Object = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta, "spec": spec}
    return found if status is None else {**found, "status": status}


def _created(spec: Object) -> list[str]:
    return [str(each) for each in DefinedStrategy(KIND.stored).validate_create(_call("create"), _thing(spec))]


def _updated(new: Object, old: Object, subresource: str = "") -> list[str]:
    call = _call("update", subresource)
    return [str(each) for each in DefinedStrategy(KIND.stored).validate_update(call, new, old)]


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        ({"n": 3}, ['spec: Invalid value: "object": no three']),
        ({"n": 3, "word": "b"}, ["spec.word: Invalid value: \"b\": spec.word in body should match '^a'", 'spec: Invalid value: "object": no three']),
        ({"n": 3, "word": "abcd"}, ["spec.word: Too long: may not be more than 3 bytes", NOT_CHECKED]),
        ({"n": "x"}, ['spec.n: Invalid value: "string": spec.n in body must be of type integer: "string"', ".spec.n: Invalid value: 0: .spec.n accessor error: x is of the type string, expected int64", NOT_CHECKED]),
        ({"n": 2**31}, [".spec.n: Invalid value: 2147483648: should be less than or equal to 2147483647"]),
        ({"set": ["x", "y", "x", "x"]}, ['spec.set[2]: Duplicate value: "x"']),
        ({"map": [{}, {"k": "x"}, {}, {"k": "x"}]}, ["spec.map[2]: Duplicate value: map[string]interface {}{}", 'spec.map[3]: Duplicate value: map[string]interface {}{"k":"x"}']),
        ({"inner": {}}, ["spec.inner.apiVersion: Required value: must not be empty", "spec.inner.kind: Required value: must not be empty", NOT_CHECKED]),
        ({"inner": {"apiVersion": "", "kind": "A.b"}}, ['spec.inner.apiVersion: Invalid value: "": must not be empty', "spec.inner.kind: Invalid value: \"A.b\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"]),
        ({"inner": {"apiVersion": "a/b/c", "kind": "K", "metadata": {"name": "a/b"}}}, ['spec.inner.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c', "spec.inner.metadata.name: Invalid value: \"a/b\": may not contain '/'"]),
        ({"inner": {"apiVersion": "v1", "kind": "K", "metadata": {}}}, []),
    ],
)  # fmt: skip
def test_creations(spec: Object, problems: list[str]) -> None:
    assert _created(spec) == problems


def test_items_that_came_twice_before_may_come_twice_elsewhere() -> None:
    old = _thing({"set": ["x", "x"], "map": []})
    assert _updated(_thing({"set": ["x", "x"], "map": [{}, {}]}), old) == []
    assert _updated(_thing({"set": ["x", "x"]}), _thing({"set": ["x"]})) == ['spec.set[1]: Duplicate value: "x"']


def test_a_status_is_judged_alone_and_anew() -> None:
    old = _thing({"word": "bad"}, {"phase": "", "n": 7})
    assert _updated({**copied(old), "status": {"phase": "x", "n": 1}}, old, "status") == []
    found = _updated(copied(old), old, "status")
    assert found == [
        'status.phase: Invalid value: "": phase in body should be at least 1 chars long',
        'status.n: Invalid value: "integer": failed rule: self < 5',
    ]
    assert _updated(copied(old), old) == []


@pytest.mark.parametrize(
    ("finalizer", "warnings"),
    [
        ("example.com/keep", []),
        ("orphan", []),
        ("keep", ['metadata.finalizers: "keep": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers']),
        ("keep.example.com", ['metadata.finalizers: "keep.example.com": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers']),
    ],
)  # fmt: skip
def test_finalizers_that_others_may_write_too(finalizer: str, warnings: list[str]) -> None:
    strategy, new = DefinedStrategy(KIND.stored), _thing({}, finalizers=[finalizer])
    created, again, status = _call("create"), _call("update"), _call("update", "status")
    strategy.warn(created, new, None)
    strategy.warn(again, new, new)
    strategy.warn(status, new, _thing({}))
    assert (created.warnings, again.warnings, status.warnings) == (warnings, [], [])


def test_a_whole_float_is_an_integer() -> None:
    body = {"metadata": {"name": "a"}, "spec": {"n": 2.0, "inner": {"x": [1.0, 1.5, {"y": 1e20}]}}}
    read = KIND.stored.rules.read(_call("create"), body, "")
    assert read["spec"] == {"n": 2, "inner": {"x": [1, 1.5, {"y": 1e20}]}}
    assert type(read["spec"]["n"]) is int and type(read["spec"]["inner"]["x"][0]) is int
