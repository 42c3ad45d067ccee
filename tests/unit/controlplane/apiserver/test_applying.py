"""Server-side apply by cases, as structured-merge-diff decides them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apimachinery.api.schema_apply import apply_meta
from apimachinery.meta.status import ApiError
from controlplane.apiserver.extensions.patching import NodeMeta
from controlplane.apiserver.registry.applying import KUBECTL, LAST_APPLIED, Applier, plan_apply
from controlplane.apiserver.registry.field_sets import added_of, changes_between, fields_of, to_wire, wire_of
from controlplane.apiserver.registry.typed_config import find_ambiguities

Object = dict[str, Any]

PODS = apply_meta(("", "v1", "Pod"))
MAPS = apply_meta(("", "v1", "ConfigMap"))
DEPLOYMENTS = apply_meta(("apps", "v1", "Deployment"))
SERVICES = apply_meta(("", "v1", "Service"))


def applied(manager: str, fields: Any, time: str = "2026-01-01T00:00:00Z", **more: Any) -> Object:
    about = {"manager": manager, "operation": "Apply", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1"}
    return {**about, **more, "fieldsV1": fields}


def updated(manager: str, fields: Any, **more: Any) -> Object:
    return applied(manager, fields, operation="Update", **more)


def me(manager: str = "me", **more: Any) -> Applier:
    return Applier(manager, "v1", now="2026-01-02T00:00:00Z", **more)


def live(*entries: Object, **more: Any) -> Object:
    meta = {"name": "a", "managedFields": list(entries), **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **more}


def config(**more: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **more.pop("metadata", {})}, **more}


def owners(entries: list[Object]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in entries}


DATA_X = {"f:data": {"f:x": {}}}


def test_a_field_of_nobody_becomes_the_appliers() -> None:
    found, entries = plan_apply(
        live(updated("u", {"f:data": {"f:y": {}}}), data={"y": "1"}), config(data={"x": "1"}), MAPS, me()
    )
    assert found["data"] == {"x": "1", "y": "1"}
    assert owners(entries) == {"u": {"f:data": {"f:y": {}}}, "me": DATA_X}
    assert [entry["operation"] for entry in entries] == ["Apply", "Update"]


def test_the_same_value_is_shared() -> None:
    found, entries = plan_apply(live(applied("u", DATA_X), data={"x": "1"}), config(data={"x": "1"}), MAPS, me())
    assert found["data"] == {"x": "1"} and owners(entries) == {"u": DATA_X, "me": DATA_X}


def test_another_value_is_a_conflict_and_force_takes_it() -> None:
    before = live(applied("u", DATA_X), updated("v", DATA_X, subresource="status"), data={"x": "1"})
    with pytest.raises(ApiError) as refused:
        plan_apply(before, config(data={"x": "2"}), MAPS, me())
    assert refused.value.code == 409
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "u":\n- .data.x\n'
        'conflicts with "v" with subresource "status" using v1:\n- .data.x'
    )
    assert refused.value.details == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "u"', "field": ".data.x"},
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "v" with subresource "status" using v1',
                "field": ".data.x",
            },
        ]
    }
    found, entries = plan_apply(before, config(data={"x": "2"}), MAPS, me(force=True))
    assert found["data"] == {"x": "2"} and owners(entries) == {"me": DATA_X}


def test_one_conflict_is_one_sentence() -> None:
    with pytest.raises(ApiError, match=r'^Apply failed with 1 conflict: conflict with "u" using v1: [.]data[.]x$'):
        plan_apply(live(updated("u", DATA_X), data={"x": "1"}), config(data={"x": "2"}), MAPS, me())


def test_what_is_no_longer_applied_goes_unless_somebody_owns_it() -> None:
    both = {"f:data": {"f:x": {}, "f:y": {}, "f:z": {}}}
    before = live(applied("me", both), updated("u", {"f:data": {"f:y": {}}}), data={"x": "1", "y": "2", "z": "3"})
    found, entries = plan_apply(before, config(data={"z": "3"}), MAPS, me())
    assert found["data"] == {"y": "2", "z": "3"}
    assert owners(entries) == {"me": {"f:data": {"f:z": {}}}, "u": {"f:data": {"f:y": {}}}}


def test_an_empty_configuration_gives_up_everything() -> None:
    found, entries = plan_apply(live(applied("me", DATA_X), data={"x": "1"}), config(), MAPS, me())
    assert "data" not in found, "a map that has become empty is absent"
    assert entries == []


def test_without_a_change_nothing_is_new() -> None:
    before = live(applied("me", DATA_X), updated("u", {"f:data": {"f:y": {}}}), data={"x": "1", "y": "2"})
    found, entries = plan_apply(before, config(data={"x": "1"}), MAPS, me())
    assert found is before and entries == before["metadata"]["managedFields"]


def test_another_value_of_ones_own_has_a_new_time() -> None:
    _, entries = plan_apply(live(applied("me", DATA_X), data={"x": "1"}), config(data={"x": "2"}), MAPS, me())
    assert entries[0]["time"] == "2026-01-02T00:00:00Z"


def test_an_applier_is_the_same_in_every_version_but_not_through_another_subresource() -> None:
    before = live(applied("me", DATA_X, apiVersion="v0"), applied("me", DATA_X, subresource="status"), data={"x": "1"})
    found, entries = plan_apply(before, config(data={"y": "1"}), MAPS, me())
    assert found["data"] == {"x": "1", "y": "1"}, "the other one still owns it"
    assert [(entry["apiVersion"], entry.get("subresource")) for entry in entries] == [("v1", "status"), ("v1", None)]


def test_an_empty_map_is_owned_and_empties() -> None:
    found, entries = plan_apply(live(applied("me", DATA_X), data={"x": "1"}), config(data={}), MAPS, me())
    assert not found.get("data") and owners(entries) == {"me": {"f:data": {}}}


def test_what_nobody_was_recorded_of_belongs_to_a_manager_of_its_own() -> None:
    before = live(data={"x": "1", "y": "2"})
    found, entries = plan_apply(before, config(data={"y": "2", "z": "3"}), MAPS, me())
    assert owners(entries)["before-first-apply"] == {"f:data": {".": {}, "f:x": {}, "f:y": {}}}
    with pytest.raises(ApiError, match=r'conflict with "before-first-apply" using v1: [.]data[.]x'):
        plan_apply(before, config(data={"x": "2"}), MAPS, me())
    assert found["data"] == {"x": "1", "y": "2", "z": "3"}


def last(**data: str) -> dict[str, Any]:
    return {"annotations": {LAST_APPLIED: orjson.dumps(config(data=data)).decode() + "\n"}}


def test_kubectl_takes_over_what_it_applied_by_patches() -> None:
    held = {"f:data": {"f:x": {}, "f:y": {}}}
    before = live(updated("kubectl-client-side-apply", held), data={"x": "1", "y": "9"}, metadata=last(x="1", y="2"))
    found, entries = plan_apply(before, config(data={"x": "3"}), MAPS, me(KUBECTL))
    assert found["data"] == {"x": "3", "y": "9"}
    assert owners(entries) == {KUBECTL: DATA_X, "kubectl-client-side-apply": {"f:data": {"f:y": {}}}}
    kept = orjson.loads(found["metadata"]["annotations"][LAST_APPLIED])
    assert kept["data"] == {"x": "3"}, "those who still patch see what was applied last"
    with pytest.raises(ApiError, match=r"1 conflict: .*: [.]data[.]y$"):  # changed since by somebody else
        plan_apply(before, config(data={"x": "3", "y": "4"}), MAPS, me(KUBECTL))
    with pytest.raises(ApiError, match="1 conflict"):
        plan_apply(before, config(data={"x": "3"}), MAPS, me("another"))


def test_an_annotation_that_is_too_large_is_left_empty() -> None:
    before = live(applied(KUBECTL, DATA_X), data={"x": "1"}, metadata=last(x="1"))
    found, _ = plan_apply(before, config(data={"x": "y" * (256 << 10)}), MAPS, me(KUBECTL))
    assert found["metadata"]["annotations"][LAST_APPLIED] == ""


def pod(*containers: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": list(containers), **spec},
    }


def owned_by(manager: str, obj: Object, schema: Any = PODS) -> Object:
    return applied(manager, to_wire(fields_of(obj, schema)))


def test_items_of_a_map_list_are_merged_by_their_keys() -> None:
    before = pod({"name": "c", "image": "i"}, {"name": "d", "image": "j"})
    before["metadata"]["managedFields"] = [owned_by("u", pod({"name": "d", "image": "j"}))]
    found, entries = plan_apply(before, pod({"name": "d", "tty": True}, {"name": "e", "image": "k"}), PODS, me())
    assert [each["name"] for each in found["spec"]["containers"]] == ["c", "d", "e"]
    assert found["spec"]["containers"][1] == {"name": "d", "image": "j", "tty": True}
    assert owners(entries)["me"]["f:spec"]["f:containers"]['k:{"name":"d"}'] == {".": {}, "f:name": {}, "f:tty": {}}


def test_an_item_goes_with_all_that_was_defaulted_in_it() -> None:
    mine = pod({"name": "c", "image": "i"}, {"name": "d", "image": "j"})
    before = pod({"name": "c", "image": "i", "imagePullPolicy": "Always"}, {"name": "d", "image": "j", "stdin": False})
    before["metadata"]["managedFields"] = [owned_by("me", mine)]
    found, _ = plan_apply(before, pod({"name": "c", "image": "i"}), PODS, me())
    assert found["spec"]["containers"] == [{"name": "c", "image": "i", "imagePullPolicy": "Always"}]


def test_an_item_goes_unless_somebody_else_owns_the_item() -> None:
    """Who owns but a part of it does not keep it: an item without its key would be left."""
    before = pod({"name": "c", "image": "i"}, {"name": "d", "image": "j"})
    part = {"f:spec": {"f:containers": {'k:{"name":"d"}': {"f:image": {}}}}}
    before["metadata"]["managedFields"] = [owned_by("me", before), updated("u", part)]
    found, entries = plan_apply(before, pod({"name": "c", "image": "i"}), PODS, me())
    assert found["spec"]["containers"] == [{"name": "c", "image": "i"}]
    assert list(owners(entries)) == ["me"], "nobody owns a part of what is gone"
    whole = {"f:spec": {"f:containers": {'k:{"name":"d"}': {".": {}, "f:name": {}}}}}
    before["metadata"]["managedFields"] = [owned_by("me", before), updated("u", whole)]
    found, _ = plan_apply(before, pod({"name": "c", "image": "i"}), PODS, me())
    assert found["spec"]["containers"] == [{"name": "c", "image": "i"}, {"name": "d"}]


def test_a_field_goes_with_all_that_was_defaulted_in_it() -> None:
    mine = pod(
        {"name": "c", "image": "i", "livenessProbe": {"httpGet": {"port": 80}}},
        volumes=[{"name": "v", "configMap": {"name": "m"}}],
        securityContext={"runAsUser": 1},
    )
    before = pod(
        {"name": "c", "image": "i", "livenessProbe": {"httpGet": {"port": 80, "path": "/"}, "periodSeconds": 10}},
        volumes=[{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}],
        securityContext={"runAsUser": 1, "fsGroup": 2},
    )
    group = updated("u", {"f:spec": {"f:securityContext": {"f:fsGroup": {}}}})
    before["metadata"]["managedFields"] = [owned_by("me", mine), group]
    wanted = pod({"name": "c", "image": "i"}, volumes=[{"name": "v", "emptyDir": {}}])
    found, _ = plan_apply(before, wanted, PODS, me())
    assert found["spec"] == {
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "securityContext": {"fsGroup": 2},
    }


def test_items_with_two_keys() -> None:
    def service(*ports: Object) -> Object:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": list(ports)}}

    before = service({"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "nodePort": 30053})
    before["metadata"]["managedFields"] = [owned_by("u", service({"port": 53, "protocol": "UDP"}), SERVICES)]
    found, _ = plan_apply(before, service({"port": 53, "name": "dns-tcp"}), SERVICES, me())
    assert found["spec"]["ports"] == [
        {"port": 53, "protocol": "UDP"},
        {"port": 53, "protocol": "TCP", "nodePort": 30053, "name": "dns-tcp"},
    ]


def test_a_set_is_added_to_and_each_item_has_its_owners() -> None:
    held = {"f:metadata": {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}}}
    before = live(applied("me", held), metadata={"finalizers": ["a", "b", "u"]})
    found, entries = plan_apply(before, config(metadata={"finalizers": ["b", "c"]}), MAPS, me())
    assert found["metadata"]["finalizers"] == ["b", "u", "c"]
    assert owners(entries)["me"] == {"f:metadata": {"f:finalizers": {'v:"b"': {}, 'v:"c"': {}}}}


@pytest.mark.parametrize(
    ("live_items", "applied_items", "merged"),
    [
        ("ab", "ba", "ba"),
        ("ab", "axb", "axb"),
        ("abcde", "1b2ed", "a1bc2ed"),
        ("abc", "", "abc"),
        ("", "ab", "ab"),
        ("xab", "bya", "xbya"),
        ("abcd", "defa", "bcdefa"),
        ("cdefghij", "2h3e4kl", "cdfg2hij3e4kl"),
        ("abcdefghij", "1b2h3e4kl", "a1bcdfg2hij3e4kl"),
        ("cagfca", "cfag", "cfag"),
        ("abb", "c", "abbc"),
        ("abb", "b", "ab"),
        ("abcdec", "1b2ed", "a1bc2ecd"),
        ("abcdec", "1b2ced", "a1b2ced"),
        ("aabb", "bcd", "aabcd"),
    ],
)
def test_what_is_applied_keeps_its_order(live_items: str, applied_items: str, merged: str) -> None:
    """And takes the place of doubled items."""
    held = [{"name": name} for name in live_items]
    found, _ = plan_apply(
        live(applied("u", {}), spec={"containers": held}),
        config(spec={"containers": [{"name": name} for name in applied_items]}),
        PODS,
        me(force=True),
    )
    assert "".join(each["name"] for each in found["spec"]["containers"]) == merged


def test_doubled_items_are_owned_in_one() -> None:
    """As an environment that says a name twice: who made two of one owns them."""
    one, two = {"name": "a", "value": "1"}, [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]
    mine, before = pod({"name": "c", "env": [one]}), pod({"name": "c", "env": two})
    changed, gone = changes_between(mine, before, PODS)
    item = ("f:spec", "f:containers", 'k:{"name":"c"}', "f:env", 'k:{"name":"a"}')
    assert changed == {(*item, ".")} and gone == {(*item, "f:name"), (*item, "f:value")}
    assert wire_of(before, PODS) == to_wire(added_of(before, PODS))
    both = updated("u", to_wire(changed))
    before["metadata"]["managedFields"] = [owned_by("me", pod({"name": "c"})), both]
    found, _ = plan_apply(before, pod({"name": "c"}), PODS, me())
    assert found["spec"]["containers"][0]["env"] == two
    with pytest.raises(ApiError, match=r'1 conflict: .*: [.]spec[.]containers\[name="c"\][.]env\[name="a"\]$'):
        plan_apply(before, mine, PODS, me())


def test_atomic_lists_and_maps_are_one_value() -> None:
    def deployment(**spec: Any) -> Object:
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}

    args = {"template": {"spec": {"containers": [{"name": "c", "args": ["a", "b"]}], "nodeSelector": {"a": "1"}}}}
    mine = deployment(selector={"matchLabels": {"app": "x"}}, **args)
    fields = to_wire(fields_of(mine, DEPLOYMENTS))["f:spec"]
    assert fields["f:selector"] == {}
    assert fields["f:template"]["f:spec"]["f:nodeSelector"] == {}
    assert fields["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']["f:args"] == {}
    mine["metadata"]["managedFields"] = [owned_by("u", mine, DEPLOYMENTS)]
    wanted = deployment(template={"spec": {"nodeSelector": {"b": "2"}, "containers": [{"name": "c", "args": ["z"]}]}})
    found, _ = plan_apply(mine, wanted, DEPLOYMENTS, me(force=True))
    assert found["spec"]["template"]["spec"]["nodeSelector"] == {"b": "2"}
    assert found["spec"]["template"]["spec"]["containers"][0]["args"] == ["z"]


def test_null_takes_a_field_away_and_owns_its_absence() -> None:
    before = live(applied("me", DATA_X), data={"x": "1", "y": "2"})
    found, entries = plan_apply(before, config(data={"x": None}), MAPS, me())
    assert found["data"] == {"y": "2"} and owners(entries) == {"me": DATA_X}


def test_null_is_a_value_that_others_must_not_lose() -> None:
    before = live(updated("u", DATA_X), data={"x": "1"})
    with pytest.raises(ApiError, match=r"1 conflict: .*: [.]data[.]x$"):
        plan_apply(before, config(data={"x": None}), MAPS, me())
    found, entries = plan_apply(before, config(data={"x": None}), MAPS, me(force=True))
    assert not found["data"] and owners(entries) == {"me": DATA_X}


def test_null_takes_no_map_and_no_keyed_list_away() -> None:
    """As `labels:` with nothing behind it in a manifest: others' entries stay."""
    before = pod({"name": "c", "image": "i"}, nodeSelector={"a": "1"})
    before["metadata"] |= {"labels": {"a": "1"}, "managedFields": [updated("u", {"f:metadata": {"f:labels": {}}})]}
    wanted = {**pod(), "metadata": {"name": "a", "labels": None}, "spec": {"containers": None, "nodeSelector": None}}
    found, _ = plan_apply(before, wanted, PODS, me())
    assert found["metadata"]["labels"] == {"a": "1"}
    assert found["spec"] == {"containers": [{"name": "c", "image": "i"}]}, "what is one value goes"


def test_older_records_of_what_is_one_value_now_take_nothing_away() -> None:
    spec = {"selector": {"matchLabels": {"app": "x"}}}
    before = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    held = {"f:spec": {"f:selector": {"f:matchLabels": {"f:app": {}}}}}
    before["metadata"] = {"name": "a", "managedFields": [applied("me", held)]}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    found, entries = plan_apply(before, wanted, DEPLOYMENTS, me())
    assert found["spec"] == spec and owners(entries) == {"me": {"f:spec": {"f:selector": {}}}}


@pytest.mark.parametrize(
    ("containers", "sentence"),
    [
        ([{"name": "c"}, {"name": "c"}], '.spec.containers: duplicate entries for key [name="c"]'),
        (
            [{"image": "i"}],
            '.spec.containers: element 0: associative list with keys has an element that omits key field "name" '
            "(and doesn't have default value)",
        ),
        (
            [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}],
            '.spec.containers[name="c"].ports: duplicate entries for key [containerPort=80,protocol="TCP"]',
        ),
        ([{"name": "c", "args": ["a", "a"]}], None),
    ],
)
def test_what_cannot_be_told_apart(containers: list[Object], sentence: str | None) -> None:
    assert list(find_ambiguities(pod(*containers), PODS)) == ([sentence] if sentence else [])


def test_a_defined_kind_says_which_keys_may_be_left_out() -> None:
    properties = {"port": {"type": "integer"}, "protocol": {"type": "string"}, "zone": {"default": "a"}}

    def lists(*keys: str) -> NodeMeta:
        items = {"type": "object", "properties": properties}
        typed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
        return NodeMeta({"properties": {"list": {**typed, "items": items}}})

    zoned, protocols = lists("port", "zone"), lists("port", "protocol")
    assert list(find_ambiguities({"list": [{"port": 1}]}, zoned)) == []
    assert fields_of({"list": [{"port": 1}]}, zoned) == {
        ("f:list", 'k:{"port":1,"zone":"a"}', "."),
        ("f:list", 'k:{"port":1,"zone":"a"}', "f:port"),
    }
    found, _ = plan_apply(
        live(applied("u", {}), list=[{"port": 1, "zone": "a"}]), config(list=[{"port": 1, "x": 1}]), zoned, me()
    )
    assert found["list"] == [{"port": 1, "zone": "a", "x": 1}]
    assert list(find_ambiguities({"list": [{"port": 1}]}, protocols)) == [
        '.list: element 0: associative list with keys has an element that omits key field "protocol" '
        "(and doesn't have default value)"
    ]


def test_a_set_holds_nothing_twice() -> None:
    found = list(find_ambiguities(config(metadata={"finalizers": ["a", "a"]}), MAPS))
    assert found == ['.metadata.finalizers: duplicate entries for key [="a"]']
