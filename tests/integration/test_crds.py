"""Custom resources with stock kubectl and raw HTTP: values, pruning, status, selectable fields, apply."""

from __future__ import annotations

# ruff: noqa: E501 (a table of messages is read by the line)
import itertools
from typing import Any

import pytest
import yaml

from tests.integration.definitions import Kind
from tests.integration.process import ControlPlane, wait_until

Object = dict[str, Any]
_NUMBERS = itertools.count(1)


def test_kubectl(kind: Kind, namespace: str) -> None:
    kubectl = kind.plane.kubectl
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a", image="x")))
    short = kind.definition["spec"]["names"]["shortNames"][0]
    table = kubectl("get", short, "-n", namespace).stdout.split()
    assert table[:3] == ["NAME", "SCHEDULE", "AGE"] and table[3:6] == ["a", "*", "5"]
    assert "REPLICAS" in kubectl("get", short, "-n", namespace, "-o", "wide").stdout
    assert kubectl("get", "mine", "-n", namespace, "-o", "name").stdout == f"{kind.kind.lower()}.{kind.group}/a\n"
    found = kind.plane.get(short, "a", "-n", namespace)
    assert found["spec"] == {"schedule": "* 5", "image": "x", "replicas": 1, "maxReplicas": 5}
    assert found["metadata"]["generation"] == 1
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a")))
    assert "image" not in kind.plane.get(short, "a", "-n", namespace)["spec"]
    kubectl("scale", f"{short}/a", "-n", namespace, "--replicas=3")
    scaled = kind.plane.get(short, "a", "-n", namespace)
    assert (scaled["spec"]["replicas"], scaled["metadata"]["generation"]) == (3, 3)
    refused = kubectl("scale", f"{short}/a", "-n", namespace, "--replicas=9", check=False).stderr
    assert 'spec.replicas: Invalid value: "object": too many replicas' in refused
    kubectl("label", short, "a", "x=y", "-n", namespace)
    kubectl("describe", short, "a", "-n", namespace)
    assert "No resources found" not in kubectl("get", short, "-n", namespace, "-l", "x=y").stderr
    explained = kubectl("explain", f"{kind.plural}.spec.schedule").stdout
    assert "When." in explained and "<string>" in explained
    assert "replicas\t<integer>" in kubectl("explain", kind.plural, "--recursive").stdout
    assert "What is wanted." in kubectl("explain", f"{kind.plural}.spec").stdout
    listed = kubectl("api-resources", f"--api-group={kind.group}", "-o", "wide", "--no-headers").stdout.split()
    assert listed[:5] == [kind.plural, short, kind.api_version, "true", kind.kind]
    assert "delete,deletecollection,get,list,patch,create,update,watch" in listed[5]
    kubectl("diff", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a", replicas=3)))
    kubectl("delete", short, "a", "-n", namespace)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"replicas": "x"}, 'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"'),
        ({"replicas": 11, "maxReplicas": 20}, "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"),
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0"),
        ({"schedule": "abc"}, "spec.schedule: Invalid value: \"abc\": spec.schedule in body should match '^[0-9* ]+$'"),
        ({"image": "too-long"}, "spec.image: Too long: may not be more than 5 bytes"),
        ({"level": "no"}, 'spec.level: Unsupported value: "no": supported values: "low", "high"'),
        ({"port": True}, 'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        ({"ports": [{"port": 1}, {"port": 1}]}, 'spec.ports[1]: Duplicate value: map[string]interface {}{"port":1, "protocol":"TCP"}'),
        ({"ports": [{"name": "x"}]}, "spec.ports[0].port: Required value"),
        ({"template": {"a": 1}}, "spec.template.apiVersion: Required value: must not be empty"),
        ({"replicas": 6}, 'spec.replicas: Invalid value: "object": too many replicas'),
    ],
)  # fmt: skip
def test_values_are_refused_in_upstreams_words(kind: Kind, namespace: str, spec: Object, message: str) -> None:
    assert message in kind.refused(namespace, **spec)


def test_missing_required_field(kind: Kind, namespace: str) -> None:
    answer = kind.plane.request("POST", kind.path(namespace), {**kind.object("x"), "spec": {}})
    assert answer.code == 422 and "spec.schedule: Required value" in answer.json["message"]


def test_pruning_defaulting_and_what_is_kept(kind: Kind, namespace: str) -> None:
    spec = {
        "nope": 1,
        "maybe": None,
        "image": None,
        "free": {"anything": [1, {"x": None}]},
        "ports": [{"port": 80, "extra": 1}],
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "bogus": 1}, "spec": {"a": 1}},
    }
    warned = kind.plane.request("POST", kind.path(namespace), kind.object("a", **spec))
    assert warned.code == 201, warned.body
    assert 'unknown field \\"spec.template.metadata.bogus\\"' in warned.headers["warning"]  # the last of three
    assert warned.json["spec"] == {
        "schedule": "* 5",
        "maybe": None,
        "free": {"anything": [1, {"x": None}]},
        "ports": [{"port": 80, "protocol": "TCP"}],
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": 1}},
        "replicas": 1,
        "maxReplicas": 5,
    }
    strict = kind.plane.request("POST", kind.path(namespace) + "?fieldValidation=Strict", kind.object("b", nope=1))
    assert strict.code == 400
    assert strict.json["message"] == (
        f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: strict decoding error: unknown field "spec.nope"'
    )


def test_transition_rules(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "a")
    merge = {"Content-Type": "application/merge-patch+json"}
    refused = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"schedule": "1"}}, headers=merge)
    assert refused.code == 422
    assert refused.json["details"]["causes"] == [
        {"reason": "FieldValueForbidden", "message": "Forbidden: schedule was * 5", "field": "spec"}
    ]
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    assert kind.plane.request("PATCH", kind.path(namespace, "a"), {}, headers=strategic).code == 415


def test_status_is_apart(kind: Kind, namespace: str) -> None:
    made = kind.create(namespace, "a")
    asked = {**made, "status": {"replicas": 7}, "spec": {**made["spec"], "replicas": 2}}
    put = kind.plane.request("PUT", kind.path(namespace, "a"), asked)
    assert put.code == 200 and "status" not in put.json and put.json["metadata"]["generation"] == 2
    asked = {**put.json, "status": {"replicas": 7, "labelSelector": "a=b"}, "spec": {"schedule": "9"}}
    asked["metadata"] = {**asked["metadata"], "labels": {"not": "taken"}}
    written = kind.plane.request("PUT", kind.path(namespace, "a") + "/status", asked).json
    assert written["spec"] == put.json["spec"] and written["status"]["replicas"] == 7
    assert written["metadata"]["generation"] == 2 and "labels" not in written["metadata"]
    scale = kind.plane.request("GET", kind.path(namespace, "a") + "/scale").json
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 7, "selector": "a=b"})
    missing = {**kind.object("a"), "metadata": {"name": "a"}}
    refused = kind.plane.request("PUT", kind.path(namespace, "a"), missing)
    assert refused.code == 422 and "must be specified for an update" in refused.json["message"]


def test_selectable_fields(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "a")
    kind.create(namespace, "b", schedule="1 1")
    found = kind.plane.request("GET", kind.path(namespace) + "?fieldSelector=spec.schedule%3D1%201").json
    assert [each["metadata"]["name"] for each in found["items"]] == ["b"]
    refused = kind.plane.request("GET", kind.path(namespace) + "?fieldSelector=spec.image%3Dx")
    assert refused.code == 400 and refused.json["message"].endswith("field label not supported: spec.image")


def test_server_side_apply_by_all_keys(kind: Kind, namespace: str) -> None:
    def apply(manager: str, *ports: Object, force: bool = False) -> Any:
        query = f"?fieldManager={manager}" + ("&force=true" if force else "")
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return kind.plane.request(
            "PATCH", kind.path(namespace, "a") + query, kind.object("a", ports=list(ports)), headers=headers
        )

    assert apply("one", {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "name": "dns"}).code == 201
    assert apply("two", {"port": 53, "protocol": "UDP", "name": "other"}).code == 409
    assert apply("two", {"port": 80}).code == 200
    both = apply("one", {"port": 53, "protocol": "UDP", "name": "dns"}).json["spec"]["ports"]
    assert both == [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 80, "protocol": "TCP"}]


def test_atomic_maps_have_one_owner(kind: Kind, namespace: str) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    path = kind.path(namespace, "a")
    made = kind.plane.request("PATCH", f"{path}?fieldManager=one", kind.object("a", atom={"x": "1"}), headers=headers)
    (entry,) = made.json["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:spec"]["f:atom"] == {}
    body = kind.object("a", atom={"y": "2"})
    assert kind.plane.request("PATCH", f"{path}?fieldManager=two", body, headers=headers).code == 409
    forced = kind.plane.request("PATCH", f"{path}?fieldManager=two&force=true", body, headers=headers).json
    assert forced["spec"]["atom"] == {"y": "2"}


def test_what_is_not_in_the_schema_cannot_be_applied(kind: Kind, namespace: str) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    template = {"apiVersion": "v1", "kind": "Sub", "metadata": {"name": "a", "unknownSub": 1}, "apiversion": "v2"}
    body = {**kind.object("a", template=template, nothing=1, free={"any": 1})}
    body["metadata"] = {**body["metadata"], "unknownMeta": 1}
    for how in ("Ignore", "Strict"):
        query = f"?fieldManager=me&fieldValidation={how}"
        refused = kind.plane.request("PATCH", kind.path(namespace, "a") + query, body, headers=headers)
        assert refused.code == 400 and refused.json["message"] == (
            f"failed to create typed patch object ({namespace}/a; {kind.group}/v1, Kind={kind.kind}): errors:\n"
            "  .metadata.unknownMeta: field not declared in schema\n"
            "  .spec.nothing: field not declared in schema\n"
            "  .spec.template.metadata.unknownSub: field not declared in schema"
        )


def test_namespace_deletion_and_garbage_collection(kind: Kind, control_plane: ControlPlane) -> None:
    name = f"going-{next(_NUMBERS)}"
    control_plane.kubectl("create", "namespace", name)
    owner = kind.create(name, "owner")
    reference = {field: owner[field] for field in ("apiVersion", "kind")}
    reference |= {"name": "owner", "uid": owner["metadata"]["uid"]}
    child: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "child", "ownerReferences": [reference]},
    }
    path = f"/api/v1/namespaces/{name}/configmaps"
    assert control_plane.request("POST", path, child).code == 201
    kind.create(name, "other")
    control_plane.request("DELETE", kind.path(name, "owner"))
    # The collector hears of new kinds every half minute, as upstream.
    wait_until("the dependent is collected", lambda: control_plane.request("GET", f"{path}/child").code == 404)
    control_plane.kubectl("delete", "namespace", name, "--timeout=120s")
    assert kind.plane.request("GET", kind.path(name, "other")).code == 404


def test_a_namespace_is_emptied_of_kinds_that_are_only_in_other_versions(
    kind: Kind, control_plane: ControlPlane
) -> None:
    """The group prefers v1, which has only the first kind."""
    other, name = Kind(control_plane), f"going-{next(_NUMBERS)}"
    other.group, other.name = kind.group, f"{other.plural}.{kind.group}"
    other.api_version = f"{kind.group}/v1alpha1"
    other.definition["metadata"]["name"], other.definition["spec"]["group"] = other.name, kind.group
    other.version["name"] = "v1alpha1"
    other.apply()
    control_plane.kubectl("create", "namespace", name)
    held = other.object("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    assert control_plane.request("POST", other.path(name, version="v1alpha1"), held).code == 201
    assert control_plane.request("DELETE", f"/api/v1/namespaces/{name}").code == 200

    def waits() -> bool:
        found = control_plane.request("GET", f"/api/v1/namespaces/{name}").json["status"].get("conditions") or []
        message = f"Some resources are remaining: {other.name} has 1 resource instances"
        return any(each["message"] == message for each in found)

    wait_until("the namespace waits for it", waits)
    control_plane.kubectl(
        "patch", other.name, "held", "-n", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    control_plane.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=120s")
    control_plane.kubectl("delete", "crd", other.name)


def test_unchanged_values_are_not_judged_again(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "a", image="long!")
    kind.spec["properties"]["image"]["maxLength"] = 2
    kind.apply()
    merge = {"Content-Type": "application/merge-patch+json"}
    tried = f"{kind.path(namespace)}?dryRun=All"
    wait_until(
        "the new schema",
        lambda: kind.plane.request("POST", tried, kind.object("b", image="long!")).code == 422,
        looks=2,
    )
    assert "spec.image" in kind.refused(namespace, image="long!")
    kept = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"level": "low"}}, headers=merge)
    assert kept.code == 200, kept.body
    changed = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"image": "other"}}, headers=merge)
    assert changed.code == 422


def test_a_policy_is_checked_against_the_schema(kind: Kind, control_plane: ControlPlane) -> None:
    rule = {"apiGroups": [kind.group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [kind.plural]}
    expressions = (
        "object.spec.replicas > '1'",
        "object.spec.maxRetries < 10",
        "object.spec.replicas > 1 && 'a' in object.metadata.labels",
    )
    name = f"policy.{kind.group}"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": each} for each in expressions],
        },
    }
    control_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(policy))
    found = wait_until("it is checked", lambda: control_plane.get("validatingadmissionpolicy", name).get("status"))
    first, second = found["typeChecking"]["expressionWarnings"]
    assert (first["fieldRef"], second["fieldRef"]) == (
        "spec.validations[0].expression",
        "spec.validations[1].expression",
    )
    assert first["warning"].startswith(f"{kind.group}/v1, Kind={kind.kind}: ERROR: ")
    assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
    assert "undefined field 'maxRetries'" in second["warning"]
    control_plane.kubectl("delete", "validatingadmissionpolicy", name)
