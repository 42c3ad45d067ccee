"""Server-side apply over HTTP and with stock kubectl: what only a whole server shows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml

from tests.integration.process import Answer, ControlPlane

APPLY = {"Content-Type": "application/apply-patch+yaml"}


def apply(
    plane: ControlPlane, path: str, document: Any, query: str = "fieldManager=me", text: Any = orjson.dumps
) -> Answer:
    body = text(document)
    data = body if isinstance(body, bytes) else body.encode()
    return plane.request("PATCH", f"{path}?{query}", data, headers=APPLY)


def settings(**data: str) -> Any:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def deployment(**spec: Any) -> Any:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    whole = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": whole}


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/a"


@pytest.mark.parametrize("text", [orjson.dumps, yaml.safe_dump], ids=["json", "yaml"])
def test_created_then_unchanged(control_plane: ControlPlane, path: str, text: Any) -> None:
    made = apply(control_plane, path, settings(x="1"), text=text)
    assert made.code == 201
    again = apply(control_plane, path, settings(x="1"), text=text)
    assert again.code == 200 and again.json == made.json, "nothing changed, so nothing was written"
    dry = apply(control_plane, path, settings(x="2"), "fieldManager=me&dryRun=All", text=text)
    assert dry.json["data"] == {"x": "2"} and control_plane.request("GET", path).json == made.json


def test_what_is_gone_is_not_created_anew(control_plane: ControlPlane, path: str) -> None:
    gone = settings(x="1")
    gone["metadata"]["uid"] = "u"
    refused = apply(control_plane, path, gone)
    assert refused.code == 409 and refused.json["message"] == (
        'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid u, and no '
        "existing object was found"
    )


@pytest.mark.parametrize("fields", [[], [{"manager": "me"}]])
def test_managed_fields_are_not_applied(control_plane: ControlPlane, path: str, fields: list[Any]) -> None:
    body = settings(x="1")
    body["metadata"]["managedFields"] = fields
    refused = apply(control_plane, path, body)
    assert (refused.code, refused.json["message"]) == (400, "metadata.managedFields must be nil")


def test_who_creates_owns_what_conversion_makes(control_plane: ControlPlane, namespace: str) -> None:
    """A Secret's stringData is data, a DaemonSet has an annotation; the labels of a Job are nobody's."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}

    def made(where: str, **body: Any) -> Any:
        path = f"/{where}?dryRun=All".replace("NS", f"namespaces/{namespace}")
        obj = control_plane.request("POST", path, {"metadata": {"name": "z"}, **body}).json
        (entry,) = obj["metadata"]["managedFields"]
        return obj, entry["fieldsV1"]

    _, owned = made("api/v1/NS/secrets", stringData={"a": "b"}, data={"c": "ZA=="})
    assert owned == {"f:data": {".": {}, "f:a": {}, "f:c": {}}, "f:type": {}}
    _, owned = made("apis/apps/v1/NS/daemonsets", spec={"selector": {"matchLabels": {"a": "b"}}, "template": template})
    mark = "f:deprecated.daemonset.template.generation"
    assert owned["f:metadata"] == {"f:annotations": {".": {}, mark: {}}}
    job, owned = made(
        "apis/batch/v1/NS/jobs", spec={"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}
    )
    assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]
    assert "f:metadata" not in owned


def test_what_the_options_must_be(control_plane: ControlPlane, path: str) -> None:
    def sentence(query: str) -> str:
        refused = apply(control_plane, path, settings(), query)
        assert refused.code == 422, refused.body
        return str(refused.json["message"])

    assert sentence("").endswith("fieldManager: Required value: is required for apply patch")
    assert sentence(f"fieldManager={'x' * 129}").endswith("fieldManager: Too long: may not be more than 128 bytes")
    assert sentence("fieldManager=a%0Ab").endswith("invalid character U+000A (at position 1)")
    merge = {"Content-Type": "application/merge-patch+json"}
    control_plane.request("POST", path.removesuffix("/a"), {"metadata": {"name": "a"}})
    refused = control_plane.request("PATCH", f"{path}?force=true", {}, headers=merge)
    assert refused.code == 422
    assert refused.json["message"].endswith("force: Forbidden: may not be specified for non-apply patch")


def test_what_cannot_be_typed_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    twice = deployment()
    twice["spec"]["template"]["spec"]["containers"] *= 2
    refused = apply(control_plane, path, twice)
    assert refused.code == 400 and refused.json["message"] == (
        f"failed to create typed patch object ({namespace}/web; apps/v1, Kind=Deployment): "
        '.spec.template.spec.containers: duplicate entries for key [name="c"]'
    )
    for how in ("Ignore", "Warn", "Strict"):
        unknown = {**deployment(), "spec": {**deployment()["spec"], "nothing": 1}}
        refused = apply(control_plane, path, unknown, f"fieldManager=me&fieldValidation={how}")
        assert refused.code == 400 and refused.json["message"].endswith(": .spec.nothing: field not declared in schema")
    refused = apply(control_plane, path, settings())
    assert refused.code == 400 and refused.json["message"] == "invalid object type: /v1, Kind=ConfigMap"
    refused = apply(control_plane, path, {"metadata": {"name": "web"}})
    assert refused.code == 400 and refused.json["message"] == "invalid object type: /, Kind="


def test_the_status_has_managers_of_its_own(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    made = apply(
        control_plane, path, {**deployment(paused=True), "status": {"observedGeneration": 7}}, "fieldManager=me"
    )
    (mine,) = [entry for entry in made.json["metadata"]["managedFields"] if entry["manager"] == "me"]
    assert "f:status" not in mine["fieldsV1"] and mine["fieldsV1"]["f:spec"]["f:selector"] == {}
    state = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}}}
    conditions = [{"type": "Mine", "status": "True"}]
    query = "fieldManager=me&force=true"
    told = apply(control_plane, f"{path}/status", {**state, "status": {"conditions": conditions}}, query)
    assert told.code == 200, told.body
    assert "labels" not in told.json["metadata"] and told.json["spec"]["paused"] is True
    entries = {
        entry.get("subresource", ""): entry
        for entry in told.json["metadata"]["managedFields"]
        if entry["manager"] == "me"
    }
    assert entries[""]["fieldsV1"] == mine["fieldsV1"]
    assert entries["status"]["fieldsV1"] == {
        "f:status": {"f:conditions": {'k:{"type":"Mine"}': {".": {}, "f:status": {}, "f:type": {}}}}
    }


def test_an_update_takes_and_an_applier_hears_of_it(control_plane: ControlPlane, path: str) -> None:
    apply(control_plane, path, settings(x="1", y="2"))
    merge = {"Content-Type": "application/merge-patch+json", "User-Agent": "hand/1.0"}
    control_plane.request("PATCH", path, {"data": {"x": "9"}}, headers=merge)
    refused = apply(control_plane, path, settings(x="1", y="2"))
    assert refused.code == 409 and refused.json["reason"] == "Conflict"
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "hand" using v1: .data.x'
    taken = apply(control_plane, path, settings(x="1", y="2"), "fieldManager=me&force=true").json
    assert taken["data"]["x"] == "1"
    assert [entry["manager"] for entry in taken["metadata"]["managedFields"]] == ["me"]


def test_kubectl_goes_from_client_side_to_server_side(control_plane: ControlPlane, namespace: str) -> None:
    first, second = orjson.dumps(settings(x="1", y="2")).decode(), orjson.dumps(settings(x="3")).decode()
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=first)
    control_plane.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=second)
    found = control_plane.get("configmap", "a", "-n", namespace, "--show-managed-fields")
    assert found["data"] == {"x": "3"}, "what is no longer applied is gone"
    managers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert managers == {"kubectl", "kubectl-last-applied"}, "the annotation has a manager of its own, kubectl's doing"
    # And back: what was applied last is known.
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=orjson.dumps(settings(z="4")).decode())
    assert control_plane.get("configmap", "a", "-n", namespace)["data"] == {"z": "4"}


def test_what_the_server_fills_in_is_nobodys(control_plane: ControlPlane, namespace: str) -> None:
    """Managers are written down before admission plug-ins and the kind itself add to what was sent; defaults count."""
    template = {"spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    pod = {"metadata": {"name": "a"}, "status": {"message": "mine"}, **template}
    control_plane.kubectl("create", "serviceaccount", "mine", "-n", namespace)
    pod["spec"] = {**template["spec"], "serviceAccountName": "mine"}
    made = control_plane.request("POST", f"/api/v1/namespaces/{namespace}/pods?fieldManager=me", pod)
    assert made.code == 201, made.body
    assert {"tolerations", "priority", "serviceAccount", "volumes"} <= set(made.json["spec"])
    (entry,) = made.json["metadata"]["managedFields"]
    assert set(entry["fieldsV1"]) == {"f:spec"}
    assert set(entry["fieldsV1"]["f:spec"]) == {
        "f:containers", "f:dnsPolicy", "f:enableServiceLinks", "f:restartPolicy", "f:schedulerName",
        "f:securityContext", "f:serviceAccount", "f:serviceAccountName", "f:terminationGracePeriodSeconds",
    }  # fmt: skip
    job = {"metadata": {"name": "a"}, "spec": {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}}
    made = control_plane.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs?fieldManager=me", job)
    assert made.code == 201 and made.json["spec"]["selector"]["matchLabels"]
    (entry,) = made.json["metadata"]["managedFields"]
    assert "f:selector" not in entry["fieldsV1"]["f:spec"]
    merge = {"Content-Type": "application/merge-patch+json"}
    path = f"/api/v1/namespaces/{namespace}/pods/a?fieldManager=you"
    changed = control_plane.request("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, headers=merge)
    owned = {entry["manager"]: entry["fieldsV1"] for entry in changed.json["metadata"]["managedFields"]}
    assert owned["you"] == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}


def test_an_owner_is_named_once(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    uid = control_plane.request("POST", path, {"metadata": {"name": "o"}}).json["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid}
    other = {**owner, "controller": True}  # of the same object, and not the same
    made = control_plane.request("POST", path, {"metadata": {"name": "a", "ownerReferences": [owner, owner, other]}})
    assert made.code == 201 and made.json["metadata"]["ownerReferences"] == [owner, other]
    says = "API server dedups owner references in 1.20+"
    assert says in made.headers["warning"] and made.headers["warning"].endswith(f'observed: {uid}"')
    merge = {"Content-Type": "application/merge-patch+json"}
    twice = {"metadata": {"ownerReferences": [owner, owner]}}
    changed = control_plane.request("PATCH", f"{path}/a", twice, headers=merge)
    assert changed.json["metadata"]["ownerReferences"] == [owner]
    assert f"after mutating admission happens; {says}" in changed.headers["warning"]


def autoscaler(version: str, **spec: Any) -> str:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    about = {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}}
    return orjson.dumps({**about, "spec": {"scaleTargetRef": target, "maxReplicas": 5, **spec}}).decode()


def test_fields_are_owned_in_the_version_in_which_they_were_applied(
    control_plane: ControlPlane, namespace: str
) -> None:
    def kubectl(manager: str, text: str, *more: str, check: bool = True) -> str:
        argv = ["apply", "--server-side", f"--field-manager={manager}", "-n", namespace, "-f", "-", *more]
        return control_plane.kubectl(*argv, stdin=text, check=check).stderr

    def owned() -> dict[str, tuple[str, set[str]]]:
        found = control_plane.get("hpa", "a", "-n", namespace, "--show-managed-fields")
        return {
            entry["manager"]: (entry["apiVersion"], set(entry["fieldsV1"]["f:spec"]))
            for entry in found["metadata"]["managedFields"]
            if entry["manager"] in ("one", "two", "hand")
        }

    usage = {"type": "Utilization", "averageUtilization": 60}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}]
    both = {"f:scaleTargetRef", "f:maxReplicas"}
    kubectl("one", autoscaler("v1", targetCPUUtilizationPercentage=50))
    assert owned() == {"one": ("autoscaling/v1", both | {"f:targetCPUUtilizationPercentage"})}
    refused = kubectl("two", autoscaler("v2", metrics=metrics), check=False)
    assert 'conflict with "one": .spec.targetCPUUtilizationPercentage' in refused
    kubectl("two", autoscaler("v2", metrics=metrics), "--force-conflicts")
    assert owned() == {"one": ("autoscaling/v1", both), "two": ("autoscaling/v2", both | {"f:metrics"})}
    path = f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers/a"
    merge = {"Content-Type": "application/merge-patch+json", "User-Agent": "hand/1.0"}
    body = {"spec": {"targetCPUUtilizationPercentage": 70}}
    assert control_plane.request("PATCH", path, body, headers=merge).code == 200
    assert owned()["hand"] == ("autoscaling/v1", {"f:targetCPUUtilizationPercentage"})
    assert owned()["two"] == ("autoscaling/v2", both)
    refused = kubectl("two", autoscaler("v2", metrics=metrics), check=False)
    assert 'conflict with "hand" using autoscaling/v1: .spec.targetCPUUtilizationPercentage' in refused
    kubectl("two", autoscaler("v1", targetCPUUtilizationPercentage=70, minReplicas=2))
    assert owned()["two"] == ("autoscaling/v1", both | {"f:targetCPUUtilizationPercentage", "f:minReplicas"})
    kubectl("two", autoscaler("v2", metrics=[]))
    assert control_plane.get("hpa", "a", "-n", namespace)["spec"].get("minReplicas") in (None, 1), "it was given up"


def test_a_scale_is_applied(control_plane: ControlPlane, namespace: str) -> None:
    """As client-go's ApplyScale does: the workload's replicas become the applier's, by the subresource."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert apply(control_plane, f"{path}/web", deployment(), "fieldManager=other").code == 201
    scale: Any = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 2}}
    refused = apply(control_plane, f"{path}/web/scale", scale)
    assert refused.code == 409
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "other": .spec.replicas'
    taken = apply(control_plane, f"{path}/web/scale", scale, "fieldManager=me&force=true")
    assert (taken.code, taken.json["kind"], taken.json["spec"]) == (200, "Scale", {"replicas": 2}), taken.body
    found = control_plane.request("GET", f"{path}/web").json
    owners = {
        (entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource"))
        for entry in found["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert (found["spec"]["replicas"], owners) == (2, {("me", "Apply", "apps/v1", "scale")})
    for wrong, said in (
        ({**scale, "spec": {"replicas": -1}}, 'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1'),
        ({**scale, "kind": "Deployment"}, "invalid object type: autoscaling/v1, Kind=Deployment"),
        ({**scale, "spec": {"size": 1}}, ".spec.size: field not declared in schema"),
        ([], "the body of an apply patch must be an object"),
    ):
        answer = apply(control_plane, f"{path}/web/scale", wrong)
        assert answer.code in (400, 422) and said in answer.json["message"], answer.body
    assert apply(control_plane, f"{path}/gone/scale", {**scale, "metadata": {}}).code == 404
