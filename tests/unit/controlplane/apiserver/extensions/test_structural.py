"""Pruning and defaulting along a structural schema."""

# ruff: noqa: E501 (tables are read by the line)

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta.objects import copied
from controlplane.apiserver.extensions.structural import build, embedded_objects, fill_defaults, prune

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "default": "x"},
        "b": {"type": "object", "default": {}, "properties": {"c": {"type": "integer", "default": 1}}},
        "n": {"type": "string", "nullable": True, "default": "never"},
        "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string", "default": "v"}}}},
        "l": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string", "default": "v"}}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"d": {"type": "object", "properties": {"e": {"type": "string"}}}}},
        "whole": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        "rows": {"type": "array", "x-kubernetes-preserve-unknown-fields": True, "items": {"type": "object", "properties": {"d": {"type": "object", "properties": {"e": {"type": "string"}}}}}},
        "any": {"type": "object", "additionalProperties": True},
    },
}  # fmt: skip
NODE = build(SCHEMA)


@pytest.mark.parametrize(
    ("value", "kept", "gone"),
    [
        ({"a": "1", "z": 1}, {"a": "1"}, ["z"]),
        ({"b": {"c": 1, "d": {"e": 2}}}, {"b": {"c": 1}}, ["b.d"]),
        ({"l": [{"k": "1"}, {"q": 1}]}, {"l": [{"k": "1"}, {}]}, ["l[1].q"]),
        ({"m": {"any": {"k": "1", "q": 2}}}, {"m": {"any": {"k": "1"}}}, ["m.any.q"]),
        ({"open": {"any": [{"x": 1}], "d": {"e": "1", "f": 2}}}, {"open": {"any": [{"x": 1}], "d": {"e": "1"}}}, ["open.d.f"]),
        ({"whole": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "any": 1}}, None, []),
        ({"rows": [{"x": 1, "d": {"e": "1", "f": 2}}]}, {"rows": [{"x": 1, "d": {"e": "1"}}]}, ["rows[0].d.f"]),
        ({"any": {"a": 1, "l": ["x"], "d": {"e": 2}}}, {"any": {"a": 1, "l": ["x"], "d": {}}}, ["any.d.e"]),
        ({"apiVersion": "v1", "kind": "K", "metadata": {"x": 1}}, None, []),
    ],
)  # fmt: skip
def test_prune(value: Any, kept: Any, gone: list[str]) -> None:
    expected = copied(value) if kept is None else kept
    assert prune(value, NODE, envelope=True) == gone
    assert value == expected


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ({}, {"a": "x", "b": {"c": 1}, "n": "never"}),
        ({"a": None, "n": None}, {"a": "x", "b": {"c": 1}, "n": None}),
        ({"a": "", "b": {"c": None}, "n": "1"}, {"a": "", "b": {"c": 1}, "n": "1"}),
        ({"a": "1", "b": {}, "n": "1", "l": [{}, {"k": "2"}]}, {"a": "1", "b": {"c": 1}, "n": "1", "l": [{"k": "v"}, {"k": "2"}]}),
        ({"a": "1", "b": {}, "n": "1", "m": {"q": {}, "r": None}}, {"a": "1", "b": {"c": 1}, "n": "1", "m": {"q": {"k": "v"}}}),
    ],
)  # fmt: skip
def test_defaults(value: Any, filled: Any) -> None:
    fill_defaults(value, NODE)
    assert value == filled


def test_defaults_are_not_shared() -> None:
    one: dict[str, Any] = {}
    other: dict[str, Any] = {}
    fill_defaults(one, NODE)
    fill_defaults(other, NODE)
    one["b"]["c"] = 9
    assert other["b"]["c"] == 1 and SCHEMA["properties"]["b"]["default"] == {}


def test_embedded_objects_are_found() -> None:
    value = {"whole": {"kind": "K"}, "open": {"whole": {}}}
    assert list(embedded_objects(value, NODE)) == [("whole", {"kind": "K"})]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c", "k", "l", "m", "n", "open", "whole", "z"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_pruning_and_defaulting_twice_changes_nothing(value: Any) -> None:
    once = copied({"spec": value})
    node = build({"type": "object", "properties": {"spec": SCHEMA}})
    prune(once, node)
    fill_defaults(once, node)
    twice = copied(once)
    assert prune(twice, node) == []
    fill_defaults(twice, node)
    assert twice == once
