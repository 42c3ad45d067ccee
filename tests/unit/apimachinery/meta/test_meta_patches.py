"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386)."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta.patches import PatchError, diff_merge, json_patch, merge_patch
from apimachinery.meta.patches.merge import same_json

# RFC 6902, appendix A, by its section numbers.
_RFC6902 = {
    "A.1": ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    "A.2": (
        {"foo": ["bar", "baz"]},
        [{"op": "add", "path": "/foo/1", "value": "qux"}],
        {"foo": ["bar", "qux", "baz"]},
    ),
    "A.3": ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    "A.4": ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    "A.5": (
        {"baz": "qux", "foo": "bar"},
        [{"op": "replace", "path": "/baz", "value": "boo"}],
        {"baz": "boo", "foo": "bar"},
    ),
    "A.6": (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    "A.7": (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    "A.8": (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    "A.10": (
        {"foo": "bar"},
        [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    "A.14": ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    "A.16": (
        {"foo": ["bar"]},
        [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
        {"foo": ["bar", ["abc", "def"]]},
    ),
    "whole document": ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    "copy": ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    "add before the end": ({"a": [1, 2]}, [{"op": "add", "path": "/a/-2", "value": 3}], {"a": [1, 3, 2]}),
    "add at the end": ({"a": [1, 2]}, [{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
    "remove the last": ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
    "replace the first": ({"a": [1, 2]}, [{"op": "replace", "path": "/a/-2", "value": 3}], {"a": [3, 2]}),
    "replace what is not there": ({"a": {}}, [{"op": "replace", "path": "/a/b", "value": 1}], {"a": {"b": 1}}),
    "test for nothing": ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    "copy of nothing": ({}, [{"op": "copy", "from": "/a", "path": "/b"}], {"b": None}),
    "no value": ({}, [{"op": "add", "path": "/a"}], {"a": None}),
    "a position with zeros": ({"a": [1, 2]}, [{"op": "remove", "path": "/a/01"}], {"a": [1]}),
    "replace in a list": ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 3}], {"a": [3, 2]}),
}


@pytest.mark.parametrize("case", _RFC6902.values(), ids=_RFC6902)
def test_json_patch(case):
    document, operations, expected = case
    before = deepcopy(document)
    assert json_patch(document, operations) == expected
    assert document == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/baz", "value": "bar"},  # A.9
        {"op": "test", "path": "/n", "value": "10"},  # A.15
        {"op": "test", "path": "/n", "value": True},
        {"op": "add", "path": "/x/bat", "value": "qux"},  # A.12
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none/none", "value": 1},
        {"op": "replace", "path": "/list/0", "value": 1},
        {"op": "replace", "path": "/list/-1", "value": 1},
        {"op": "test", "path": "/none/none", "value": None},
        {"op": "test", "path": "/list/0", "value": None},
        {"op": "move", "from": "/none", "path": "/n"},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/-2", "value": 1},
        {"op": "add", "path": "/list/1_0", "value": 1},
        {"op": "add", "path": "/list/٠", "value": 1},
        {"op": "move", "from": "/o", "path": "/o/p"},
        {"op": "add", "path": "x", "value": 1},
        {"op": "frob", "path": "/n"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "", "value": {}},
    ],
    ids=str,
)
def test_json_patch_that_does_not_apply(operation):
    document = {"baz": "qux", "n": 1, "list": [], "o": {}}
    before = deepcopy(document)
    with pytest.raises(PatchError) as refusal:
        json_patch(document, [operation])
    assert not refusal.value.malformed
    assert document == before


def test_json_patch_that_is_no_patch():
    for patch in ({"op": "add"}, ["add"]):
        with pytest.raises(PatchError) as refusal:
            json_patch({}, patch)
        assert refusal.value.malformed


def test_no_more_than_ten_thousand_operations():
    with pytest.raises(PatchError, match="maximum operations in a JSON patch is 10000, got 10001"):
        json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)


# RFC 7386, appendix A.
_RFC7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    # What upstream's library does besides.
    ({"a": [1]}, {"a": [{"b": None, "c": [{"d": None}]}, None]}, {"a": [{"c": [{}]}, None]}),
    ({}, {"a": {"b": [{"c": None}]}}, {"a": {"b": [{}]}}),
    ({"a": {"b": 1}}, {"a": [{"b": None}]}, {"a": [{"b": None}]}),
]


@pytest.mark.parametrize(("document", "patch", "expected"), _RFC7386, ids=str)
def test_merge_patch(document, patch, expected):
    before = deepcopy(document)
    assert merge_patch(document, patch) == expected
    assert document == before


def test_diff_is_the_smallest_patch():
    old = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    new = {"a": 1, "b": {"c": 2, "d": 4}, "e": [1, 2], "f": {}}
    assert diff_merge(old, new) == {"b": {"d": 4}, "e": [1, 2], "f": {}}
    assert diff_merge(old, old) == {}
    assert diff_merge({"a": 1}, {}) == {"a": None}
    assert diff_merge({"a": True}, {"a": 1}) == {"a": 1}


_json = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(st.sampled_from("abc"), _json, max_size=3)


@given(_objects, _objects)
def test_a_diff_applied_gives_the_new_object(old, new):
    assert same_json(merge_patch(old, diff_merge(old, new)), new)


@given(_objects, _objects)
def test_a_merge_patch_applied_twice_changes_nothing_more(document, patch):
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
