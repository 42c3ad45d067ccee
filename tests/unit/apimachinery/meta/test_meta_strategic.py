"""Strategic merge patch (k8s.io/apimachinery/pkg/util/strategicpatch), on the real schema of a Deployment and a Pod."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.api.schema import SCHEMA
from apimachinery.meta.patches import PatchError, strategic_merge, strategic_merge_into

_POD = SCHEMA.patch_meta(("", "v1", "Pod"))
_SERVICE = SCHEMA.patch_meta(("", "v1", "Service"))
_DEPLOYMENT = SCHEMA.patch_meta(("apps", "v1", "Deployment"))


def _containers(*names, **fields):
    return {"spec": {"containers": [{"name": name, **fields} for name in names]}}


_CASES = {
    "a keyed list merges by its key": (
        _POD,
        _containers("a", "b", image="1"),
        {"spec": {"containers": [{"name": "b", "image": "2"}]}},
        {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}},
    ),
    "a new item goes first, since the live list knows no place for it": (
        _POD,
        _containers("a"),
        _containers("c"),
        _containers("c", "a"),
    ),
    "an item is deleted by its key": (
        _POD,
        _containers("a", "b"),
        {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}},
        _containers("b"),
    ),
    "a list is replaced": (
        _POD,
        _containers("a", "b"),
        {"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}},
        _containers("c"),
    ),
    "a map is replaced": (
        _POD,
        {"metadata": {"labels": {"a": "1", "b": "2"}}},
        {"metadata": {"labels": {"$patch": "replace", "c": "3"}}},
        {"metadata": {"labels": {"c": "3"}}},
    ),
    "a map is emptied": (
        _POD,
        {"metadata": {"labels": {"a": "1"}}},
        {"metadata": {"labels": {"$patch": "delete"}}},
        {"metadata": {"labels": {}}},
    ),
    "null deletes a field": (
        _POD,
        {"metadata": {"labels": {"a": "1", "b": "2"}}},
        {"metadata": {"labels": {"a": None}}},
        {"metadata": {"labels": {"b": "2"}}},
    ),
    "an atomic list is replaced": (
        _POD,
        _containers("a", args=["x", "y"]),
        _containers("a", args=["z"]),
        _containers("a", args=["z"]),
    ),
    "a primitive list merges": (
        _POD,
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"finalizers": ["b", "c"]}},
        {"metadata": {"finalizers": ["a", "b", "c"]}},
    ),
    "items leave a primitive list": (
        _POD,
        {"metadata": {"finalizers": ["a", "b", "c"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}},
        {"metadata": {"finalizers": ["a", "c"]}},
    ),
    "the order wanted": (
        _POD,
        _containers("a", "b", "c"),
        {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}},
        _containers("c", "a", "b"),
    ),
    "the server's own item keeps its place before": (
        _POD,
        _containers("server", "a", "b"),
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
                "containers": [{"name": "c"}],
            }
        },
        _containers("server", "a", "b", "c"),
    ),
    "ports of a service merge by port": (
        _SERVICE,
        {"spec": {"ports": [{"port": 80, "nodePort": 30000}, {"port": 443}]}},
        {"spec": {"ports": [{"port": 80, "name": "http"}]}},
        {"spec": {"ports": [{"port": 80, "nodePort": 30000, "name": "http"}, {"port": 443}]}},
    ),
    "retained keys drop the rest": (
        _DEPLOYMENT,
        {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
        {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
        {"spec": {"strategy": {"type": "Recreate"}}},
    ),
    "nulls inside a new value vanish": (
        _POD,
        {},
        {"metadata": {"labels": {"a": "1", "b": None}}},
        {"metadata": {"labels": {"a": "1"}}},
    ),
    "a value of another type replaces": (
        _POD,
        {"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": 80}}}]}},
        {"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": "http"}}}]}},
        {"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": "http"}}}]}},
    ),
}


@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES)
def test_merged(case):
    schema, document, patch, expected = case
    before, before_patch = deepcopy(document), deepcopy(patch)
    assert strategic_merge(document, patch, schema) == expected
    assert (document, patch) == (before, before_patch)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"$patch": "frob"}, "unknown patch type"),
        ({"spec": {"containers": [{"image": "x"}]}}, "does not contain declared merge key: name"),
        ({"spec": {"$setElementOrder/containers": "a"}}, "setElementOrder"),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}},
            "doesn't match",
        ),
        ({"spec": {"containers": ["x"]}}, "not identical"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}, "primitive list"),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "retainKeys"),
    ],
)
def test_refused(patch, message):
    with pytest.raises(PatchError) as refusal:
        strategic_merge({**_containers("a"), "metadata": {"finalizers": ["x"]}}, patch, _POD)
    assert message in str(refusal.value)


_names = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@given(_names, _names)
def test_every_item_is_there_once_and_in_the_order_wanted(live, wanted):
    order = [{"name": name} for name in wanted]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": order}}
    merged = strategic_merge(_containers(*live), patch, _POD)["spec"]["containers"]
    found = [item["name"] for item in merged]
    assert sorted(found) == sorted({*live, *wanted})
    assert [name for name in found if name in wanted] == wanted
    own = [name for name in live if name not in wanted]
    assert [name for name in found if name in own] == own


def test_a_document_of_ones_own_is_used_up_and_the_patch_is_not():
    pods = SCHEMA.patch_meta(("", "v1", "Pod"))
    document = {"metadata": {"name": "a"}, "status": {"phase": "Pending"}}
    patch = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    before = deepcopy(patch)
    merged = strategic_merge_into(document, patch, pods)
    assert merged is document
    merged["status"]["conditions"][0]["status"] = "False"
    assert patch == before
