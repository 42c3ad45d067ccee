"""Patches that do not apply, or make no object: codes, reasons and sentences of a kube-apiserver, and why (ours)."""

# ruff: noqa: E501 (a table of messages is read by the line)

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.process import ControlPlane

JSON, MERGE, STRATEGIC = "json-patch", "merge-patch", "strategic-merge-patch"
REJECTED = "the server rejected our request due to an error in our request"
CONTAINERS = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
DEPLOYMENT = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": CONTAINERS}}


def _containers(*changes: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(changes)}}}}


REFUSED: dict[str, tuple[str, Any, int, str]] = {
    "no-list": (JSON, {"a": 1}, 400, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
    "no-operation": (JSON, [1], 400, "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
    "no-object": (MERGE, [1], 400, "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
    "no-map": (STRATEGIC, [1], 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    "wrong-type": (STRATEGIC, {"spec": {"replicas": "x"}}, 422, ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32'),
    "no-text": (STRATEGIC, {"metadata": {"labels": {"a": 1}}}, 422, ' "" is invalid: patch: Invalid value: "map[metadata:map[labels:map[a:1]]]": cannot convert int64 to string'),
    "no-slice": (STRATEGIC, {"metadata": {"finalizers": "x"}}, 422, ' "" is invalid: patch: Invalid value: "map[metadata:map[finalizers:x]]": cannot restore slice from string'),
    "no-key": (STRATEGIC, _containers({"image": "z"}), 400, "map: map[image:z] does not contain declared merge key: name"),
    "no-order": (STRATEGIC, {"spec": {"$setElementOrder/x": 1}}, 400, "invalid patch format of setElementOrder list"),
    "other-keys": (STRATEGIC, {"spec": {"$retainKeys": ["a"], "replicas": 1}}, 400, "invalid patch format of retainKeys"),
    "foreign-uid": (MERGE, {"metadata": {"uid": "x"}}, 422, 'Deployment.apps "web" is invalid: metadata.uid: Invalid value: "x": field is immutable'),
    "foreign-name": (MERGE, {"metadata": {"name": "x"}}, 400, "the name of the object (x) does not match the name on the URL (web)"),
    "not-there": (JSON, [{"op": "replace", "path": "/nope/nope", "value": 1}], 422, REJECTED),
    "not-equal": (JSON, [{"op": "test", "path": "/spec/replicas", "value": 99}], 422, REJECTED),
}  # fmt: skip
WHY = {
    "not-there": 'replace operation does not apply: doc is missing path: "/nope": missing value',
    "not-equal": "testing value /spec/replicas failed: test failed",
}


@pytest.fixture
def web(control_plane: ControlPlane, namespace: str) -> str:
    """The path of a Deployment."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert control_plane.request("POST", path, DEPLOYMENT).code == 201
    return f"{path}/web"


def _patch(plane: ControlPlane, path: str, media: str, body: Any) -> Any:
    return plane.request("PATCH", path, body, headers={"Content-Type": f"application/{media}+json"})


def test_what_is_refused(control_plane: ControlPlane, web: str) -> None:
    for name, (media, body, code, message) in REFUSED.items():
        answer = _patch(control_plane, web, media, body)
        assert (answer.code, answer.json["message"]) == (code, message), name
        causes = [(each["field"], each["message"]) for each in answer.json.get("details", {}).get("causes", ())]
        if name in WHY:
            assert causes == [("patch", WHY[name])], name


def test_what_comes_out_is_shown_where_it_is_no_object(control_plane: ControlPlane, web: str) -> None:
    answer = _patch(control_plane, web, MERGE, {"spec": {"replicas": "x"}})
    assert answer.code == 422 and answer.json["reason"] == "Invalid"
    assert answer.json["message"].startswith(' "" is invalid: patch: Invalid value: "{\\"apiVersion\\":\\"apps/v1\\"')
    why = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    assert answer.json["message"].endswith(why)
    answer = _patch(control_plane, f"{web}?fieldValidation=Strict", STRATEGIC, {"spec": {"replicaz": 1}})
    why = 'strict decoding error: unknown field "spec.replicaz"'
    assert answer.code == 422
    assert answer.json["message"] == f' "" is invalid: patch: Invalid value: "map[spec:map[replicaz:1]]": {why}'


def test_a_scale_is_refused_as_a_scale(control_plane: ControlPlane, web: str) -> None:
    answer = _patch(control_plane, f"{web}/scale", MERGE, {"spec": {"replicas": -1}})
    assert answer.code == 422 and (answer.json["details"]["kind"], answer.json["details"]["group"]) == (
        "Scale",
        "autoscaling",
    )
    wanted = 'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    assert answer.json["message"] == wanted


def test_a_scale_of_something_else(control_plane: ControlPlane, web: str) -> None:
    scale = control_plane.request("GET", f"{web}/scale").json
    uid = scale["metadata"]["uid"]
    wrong = f"Precondition failed: UID in precondition: x, UID in object meta: {uid}"
    for meta, code, message in (
        ({"name": "x"}, 400, "the name of the object (x) does not match the name on the URL (web)"),
        ({}, 400, "the name of the object (web based on URL) was undeterminable: name must be provided"),
        ({"name": "web", "uid": "x"}, 409, f'Operation cannot be fulfilled on deployments/scale.apps "web": {wrong}'),
    ):
        answer = control_plane.request("PUT", f"{web}/scale", {**scale, "metadata": meta, "spec": {"replicas": 7}})
        assert (answer.code, answer.json["message"]) == (code, message)
    assert _patch(control_plane, f"{web}/scale", MERGE, {"metadata": {"uid": "x"}}).code == 409
    assert control_plane.request("GET", f"{web}/scale").json["spec"] == scale["spec"]


def test_what_a_strategic_patch_says_of_the_kind_counts_for_nothing(control_plane: ControlPlane, web: str) -> None:
    """So does Ansible's module that scales."""
    foreign = {"kind": "Pod", "apiVersion": "v7", "metadata": {"name": "web"}, "spec": {"replicas": 3}}
    for path, kind in ((web, ("apps/v1", "Deployment")), (f"{web}/scale", ("autoscaling/v1", "Scale"))):
        changed = _patch(control_plane, path, STRATEGIC, foreign)
        assert changed.code == 200 and (changed.json["apiVersion"], changed.json["kind"]) == kind
        assert changed.json["spec"]["replicas"] == 3
        assert _patch(control_plane, path, MERGE, foreign).code == 422


def test_metadata_that_is_empty_is_absent(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    empty = {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}
    made = control_plane.request("POST", path, {"metadata": {"name": "e", **empty}}).json
    assert not empty.keys() & made["metadata"].keys() and "managedFields" not in made["metadata"]
    for change in ({"a": "b"}, {"a": None}):
        changed = _patch(control_plane, f"{path}/e", MERGE, {"metadata": {"labels": change}}).json
    assert "labels" not in changed["metadata"], "the last label is gone"


def test_an_eviction_of_an_old_client(control_plane: ControlPlane, namespace: str) -> None:
    """kubectl drain of before 1.22 says v1beta1."""
    path = f"/api/v1/namespaces/{namespace}/pods/old/eviction"
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "old"}}
    answer = control_plane.request("POST", path, eviction)
    assert (answer.code, answer.json["message"]) == (404, 'pods "old" not found')


def test_methods_that_no_route_has(control_plane: ControlPlane, web: str) -> None:
    sentence = "the server does not allow this method on the requested resource"
    for method, path in (("POST", f"{web}/scale"), ("DELETE", f"{web}/status"), ("POST", "/version")):
        answer = control_plane.request(method, path, {} if method == "POST" else None)
        assert (answer.code, answer.json["message"], answer.json["details"]) == (405, sentence, {}), path
    for path, code in (
        (web, 405),
        (f"{web}/scale", 405),
        ("/version", 405),
        ("/api/v1", 405),
        ("/apis", 200),
        ("/", 200),
    ):
        assert control_plane.request("HEAD", path).code == code, path


def test_counts_that_a_status_has_not_are_not_told(control_plane: ControlPlane, web: str) -> None:
    answer = _patch(control_plane, f"{web}/status", MERGE, {"status": {"replicas": -1}})
    fields = [each["field"] for each in answer.json["details"]["causes"]]
    assert answer.code == 422 and set(fields) <= {
        f"status.{part}eplicas" for part in ("r", "updatedR", "readyR", "availableR")
    }


def test_bodies_of_other_kinds(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    scheme = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
    for body, message in (
        ({"kind": "Foo"}, f'Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered for version "v1" {scheme}'),
        ({"kind": "Pod", "apiVersion": "v1"}, 'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion'),
        ({"apiVersion": "a/b/c"}, 'the object provided is unrecognized (must be of type ConfigMap): unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})'),
        ({"apiVersion": "v2"}, f'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" {scheme}'),
    ):  # fmt: skip
        answer = control_plane.request("POST", path, body)
        assert (answer.code, answer.json["message"]) == (400, message)
    answer = control_plane.request(
        "POST",
        f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers",
        {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2"},
    )
    assert answer.json["message"] == (
        "the API version in the data (autoscaling/v2) does not match the expected API version (autoscaling/v1)"
    )


def test_items_of_a_list_do_not_repeat_its_kind(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(2):
        made = {"metadata": {"name": f"c{number}", "labels": {"mine": "yes"}}}
        assert control_plane.request("POST", path, made).code == 201
    found = control_plane.request("GET", f"{path}?labelSelector=mine").json
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert [sorted(item) for item in found["items"]] == [["metadata"], ["metadata"]]
    old = f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers"
    spec = {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"}}
    assert control_plane.request("POST", old, {"metadata": {"name": "h"}, "spec": spec}).code == 201
    assert sorted(control_plane.request("GET", old).json["items"][0]) == ["metadata", "spec", "status"]
    assert control_plane.request("GET", f"{path}?labelSelector=none").json["items"] == []
    deleted = control_plane.request("DELETE", f"{path}?labelSelector=mine").json
    assert [sorted(item) for item in deleted["items"]] == [["metadata"], ["metadata"]]
