"""Field sets: from objects to FieldsV1 and back."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from apimachinery.api.schema_apply import apply_meta
from controlplane.apiserver.registry import field_sets

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 3,
        "template": {"spec": {"containers": [{"name": "c", "image": "nginx", "args": ["a", "b"]}]}},
    },
}
META = apply_meta(("apps", "v1", "Deployment"))
CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}')


def test_the_leaves_of_an_object():
    assert field_sets.fields_of(DEPLOYMENT, META) == {
        ("f:metadata", "f:labels", "f:app"),
        ("f:spec", "f:replicas"),
        (*CONTAINER, "."),
        (*CONTAINER, "f:name"),
        (*CONTAINER, "f:image"),
        (*CONTAINER, "f:args"),
    }


def test_the_wire_form_and_back():
    fields = field_sets.fields_of(DEPLOYMENT, META)
    wire = field_sets.to_wire(fields)
    assert wire["f:spec"]["f:replicas"] == {}
    assert field_sets.from_wire(wire) == fields


def test_values_and_removal():
    obj = {"spec": {"template": {"spec": {"containers": [{"name": "b"}, {"name": "c", "image": "x"}]}}}}
    image = (*CONTAINER, "f:image")
    assert field_sets.value_at(obj, image) == "x"
    field_sets.remove(obj, image)
    assert field_sets.value_at(obj, image) is field_sets.MISSING
    field_sets.remove(obj, (*CONTAINER, "."))
    assert obj["spec"]["template"]["spec"]["containers"] == [{"name": "b"}]


def test_a_path_as_conflicts_show_it():
    assert field_sets.spell((*CONTAINER, "f:image")) == '.spec.template.spec.containers[name="c"].image'


def test_an_item_is_named_by_all_its_keys():
    ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]
    pod = {"spec": {"containers": [{"name": "c", "ports": ports}]}}
    found = field_sets.fields_of(pod, apply_meta(("", "v1", "Pod")))
    steps = {path[4] for path in found if len(path) > 4}
    assert steps == {'k:{"containerPort":53,"protocol":"UDP"}', 'k:{"containerPort":53,"protocol":"TCP"}'}
    for path in found:
        assert field_sets.value_at(pod, path) is not field_sets.MISSING, path


def test_who_creates_owns_maps_and_lists_but_not_the_structs_that_go_always_writes():
    """As `kubectl create deployment` and a ReplicaSet's pod read on a real cluster."""
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}, "ports": [{"containerPort": 1}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container], "restartPolicy": "Always"}}
    owner = {"apiVersion": "v1", "kind": "K", "name": "o", "uid": "1"}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    deployment = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "ownerReferences": [owner]},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "strategy": strategy, "template": template},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    }
    labels = {"f:labels": {".": {}, "f:app": {}}}
    containers = {
        'k:{"name":"c"}': {
            ".": {}, "f:image": {}, "f:name": {},
            "f:ports": {".": {}, 'k:{"containerPort":1,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            "f:resources": {".": {}, "f:requests": {".": {}, "f:cpu": {}}},
        }
    }  # fmt: skip
    assert field_sets.wire_of(deployment, META) == {
        "f:metadata": {**labels, "f:ownerReferences": {".": {}, 'k:{"uid":"1"}': {}}},
        "f:spec": {
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {"f:metadata": labels, "f:spec": {"f:containers": containers, "f:restartPolicy": {}}},
        },
        "f:status": {
            "f:conditions": {".": {}, 'k:{"type":"Available"}': {".": {}, "f:status": {}, "f:type": {}}},
        },
    }


def test_who_creates_owns_no_struct_that_is_always_there_and_empty():
    """As `kubectl create job` and a NetworkPolicy for every pod read on a real cluster."""
    job = {"spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}}}}
    container = {".": {}, "f:name": {}, "f:resources": {}}
    assert field_sets.wire_of(job, apply_meta(("batch", "v1", "Job"))) == {
        "f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"c"}': container}}}}
    }
    policy, meta = (
        {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
        apply_meta(("networking.k8s.io", "v1", "NetworkPolicy")),
    )
    assert field_sets.wire_of(policy, meta) == {"f:spec": {"f:policyTypes": {}}}
    chosen = {"spec": {**policy["spec"], "podSelector": {"matchLabels": {"a": "b"}}}}
    assert field_sets.changes_between(policy, chosen, meta) == ({("f:spec", "f:podSelector")}, frozenset())
    assert field_sets.fields_of(policy, meta) >= {("f:spec", "f:podSelector")}, "who applies it owns it"


def test_what_is_no_set_of_fields():
    assert field_sets.is_well_formed({"f:a": {".": {}, 'k:{"b":1}': {}, "v:1": {}}})
    for tree in ({"a": {}}, {"f:a": 1}, {"k:[]": {}}, {"k:{": {}}, {"f:a": {"v:x": {}}}):
        assert not field_sets.is_well_formed(tree), tree


def _is_container(path: tuple[str, ...]) -> bool:
    return path[-1] == "." and path[-2].startswith("f:")


def _leaves(obj: dict[str, Any]) -> dict[Any, Any]:
    """Without the structs that Go always writes, where nothing is in them."""
    added = field_sets.added_of(obj, META)
    return {path: value for path, value in field_sets.leaves_of(obj, META).items() if value != {} or path in added}


_STEPS = st.sampled_from(["name", "image", "args", "ports", "env", "containers", "template", "spec", "labels", "x"])
_LEAVES = st.one_of(st.integers(0, 2), st.sampled_from(["a", "b", ""]), st.just({}), st.just([]))
_TREES = st.recursive(_LEAVES, lambda t: st.one_of(st.lists(t, max_size=3), st.dictionaries(_STEPS, t, max_size=4)))
_OBJECTS = st.fixed_dictionaries(
    {"metadata": st.dictionaries(st.sampled_from(["name", "labels", "annotations", "finalizers"]), _TREES)},
    optional={"spec": _TREES, "status": _TREES, "kind": st.just("Deployment")},
)


@given(_OBJECTS, _OBJECTS)
@example({"metadata": {}}, {"metadata": {"finalizers": []}, "spec": {"template": {"spec": {"containers": []}}}})
@example(DEPLOYMENT, {**DEPLOYMENT, "spec": {"template": {"spec": {"containers": [{"name": "d"}]}}}})
def test_the_short_ways_find_what_the_long_ones_find(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = _leaves(old), _leaves(new)
    wanted = {path for path, value in after.items() if path not in before or before[path] != value}
    changed, gone = field_sets.changes_between(old, new, META)
    added, emptied = set(filter(_is_container, changed)), set(filter(_is_container, gone))
    assert changed - added == wanted
    assert gone - emptied - {path[:-1] for path in emptied} == before.keys() - after.keys()
    assert all(field_sets.value_at(old, path) is field_sets.MISSING for path in added)
    assert all(field_sets.value_at(new, path) is field_sets.MISSING for path in emptied)
    tree = field_sets.wire_of(new, META)
    assert tree == field_sets.to_wire(field_sets.added_of(new, META))
    assert json.dumps(tree) == json.dumps(field_sets.to_wire(field_sets.added_of(new, META)))
    held = field_sets.from_wire(tree)
    assert all(field_sets.holds(tree, path) is (path in held) for path in {*before, *after, *held})


def test_a_template_known_already_says_the_same_of_another_pod():
    spec = {"containers": [{"name": "a", "image": "i", "args": ["x" * 10_000]}], "nodeName": ""}
    for more in ({}, {"hostNetwork": True}, {"containers": [{"name": "b"}]}, {"tolerations": [1 << 70]}):
        for name in ("first", "second"):
            pod = {
                "kind": "Pod",
                "metadata": {"labels": {name: ""}},
                "spec": {**spec, **more},
                "status": {"phase": "x"},
            }
            for shorter in (
                pod,
                {**pod, "spec": {"nodeName": "n", **more}},
                {**pod, "spec": {}},
                {**pod, "spec": None},
            ):
                wanted = field_sets.to_wire(field_sets.added_of(shorter, apply_meta(("", "v1", "Pod"))))
                assert json.dumps(field_sets.wire_of(shorter, apply_meta(("", "v1", "Pod")))) == json.dumps(wanted)
