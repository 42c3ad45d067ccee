"""Webhooks, against a real HTTPS server: whom they are asked about, what is sent, what the answers do."""

import pytest
from aiohttp import web

from apimachinery.api.catalogue import (
    CATALOGUE,
    NAMESPACES,
    NODES,
    PODS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.matching import rule_matches
from controlplane.apiserver.admission.request import options
from tests.unit.controlplane.apiserver.admission.reviews import deny, pod, review
from tests.unit.controlplane.apiserver.admission.webhook_server import EVERYTHING, hook, plugin

AUTOSCALERS_V1 = CATALOGUE.find("autoscaling", "v1", "horizontalpodautoscalers")


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, True),
        ({"operations": ["UPDATE"]}, False),
        ({"apiGroups": ["apps"]}, False),
        ({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}, True),
        ({"resources": ["pods/*"]}, True),
        ({"resources": ["pods/status"]}, False),
        ({"resources": ["*"]}, True),
        ({"scope": "Cluster"}, False),
        ({"scope": "Namespaced"}, True),
    ],
)
def test_rules(rule, matches):
    assert rule_matches({**EVERYTHING, **rule}, review(pod()), PODS) is matches


@pytest.mark.parametrize(("scope", "matches"), [("Cluster", True), ("Namespaced", False), ("*", True)])
def test_cluster_scope(scope, matches):
    for resource in (NODES, NAMESPACES):
        asked = review({"metadata": {"name": "n"}}, resource=resource)
        assert rule_matches({**EVERYTHING, "scope": scope}, asked, resource) is matches


async def test_what_is_sent(server, storage):
    obj = pod()
    async with plugin(storage, hook(server)) as validating:
        asked = review(obj, operation="UPDATE", old=pod("p", nodeName="n"), user="alice", dry_run=True)
        asked.call.query = {"fieldManager": "kubectl-edit"}
        await validating.validate(asked)
    (request,) = server.requests()
    kind, resource = {"group": "", "version": "v1", "kind": "Pod"}, {"group": "", "version": "v1", "resource": "pods"}
    assert request.pop("uid")
    assert request == {
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": "p",
        "namespace": "a",
        "operation": "UPDATE",
        "userInfo": {"username": "alice"},
        "object": obj,
        "oldObject": pod("p", nodeName="n"),
        "dryRun": True,
        "options": {
            "kind": "UpdateOptions",
            "apiVersion": "meta.k8s.io/v1",
            "dryRun": ["All"],
            "fieldManager": "kubectl-edit",
        },
    }


@pytest.mark.parametrize(("operation", "kind"), [("CREATE", "CreateOptions"), ("UPDATE", "UpdateOptions")])
def test_a_patch_is_told_with_the_options_of_what_it_comes_to(operation, kind):
    asked = review(pod(), operation=operation, old=pod() if operation == "UPDATE" else None)
    asked.call.verb, asked.call.query = "patch", {"fieldManager": "kubectl", "force": "true"}
    assert options(asked) == {"kind": kind, "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl"}


def test_a_deletion_is_told_with_its_options_and_that_it_is_a_dry_run():
    asked = review(None, operation="DELETE", old=pod(), dry_run=True)
    asked.options = {"gracePeriodSeconds": 5}
    assert options(asked) == {
        "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "gracePeriodSeconds": 5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ({"status": {"message": "too big", "code": 403, "reason": "Forbidden"}}, 403, ": too big"),
        ({"status": {"reason": "TooBig"}}, 400, ": TooBig"),
        ({}, 400, " without explanation"),
        ({"status": {"code": 200, "message": "no"}}, 400, ": no"),
    ],
    ids=["message", "reason", "nothing", "no success"],
)
async def test_a_refusal(server, storage, said, code, message):
    server.answers["/"] = lambda _: {"allowed": False, **said}
    async with plugin(storage, hook(server)) as validating:
        with pytest.raises(ApiError) as refused:
            await validating.validate(review(pod()))
    assert refused.value.code == code
    assert refused.value.message == f'admission webhook "check.example.com" denied the request{message}'


async def test_warnings_and_audit_annotations(server, storage):
    server.answers["/"] = lambda _: {"allowed": True, "warnings": ["old field"], "auditAnnotations": {"seen": "yes"}}
    asked = review(pod())
    async with plugin(storage, hook(server)) as validating:
        await validating.validate(asked)
    assert asked.call.warnings == ["old field"]
    assert asked.call.annotations == {"check.example.com/seen": "yes"}


async def test_who_is_asked_about_what(server, storage):
    async with plugin(
        storage,
        hook(server, "/team", "team.x.io", namespaceSelector={"matchLabels": {"team": "blue"}}),
        hook(server, "/red", "red.x.io", namespaceSelector={"matchLabels": {"team": "red"}}),
        hook(server, "/label", "label.x.io", objectSelector={"matchLabels": {"app": "web"}}),
        hook(
            server,
            "/true",
            "true.x.io",
            matchConditions=[{"name": "a", "expression": "object == null || object.kind == 'Pod'"}],
        ),
        hook(server, "/false", "false.x.io", matchConditions=[{"name": "a", "expression": "request.name == 'other'"}]),
    ) as validating:
        await validating.validate(review(pod()))
        assert sorted(server.asked) == ["/team", "/true"]
        old = pod(metadata={"labels": {"app": "web"}})
        await validating.validate(review(pod(), operation="UPDATE", old=old))
        assert len(server.asked["/label"]) == 1
        await validating.validate(review(None, operation="DELETE", old=pod()))
        assert server.requests("/team")[-1]["object"] is None
        red = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "r", "labels": {"team": "red"}}}
        await validating.validate(review(red, resource=NAMESPACES))
        assert server.requests("/red")[-1]["namespace"] == "r"


async def test_a_condition_that_fails(server, storage):
    broken = [{"name": "a", "expression": "object.spec.nothing == 1"}]
    async with plugin(storage, hook(server, matchConditions=broken)) as validating:
        with pytest.raises(ApiError) as refused:
            await validating.validate(review(pod()))
    assert refused.value.message == (
        "pods \"p\" is forbidden: expression 'object.spec.nothing == 1' resulted in error: no such key: nothing"
    )


async def test_a_failing_condition_is_ignored_and_a_false_one_decides(server, storage):
    broken = {"name": "a", "expression": "object.spec.nothing == 1"}
    async with plugin(
        storage,
        hook(server, matchConditions=[broken], failurePolicy="Ignore"),
        hook(server, name="other.x.io", matchConditions=[broken, {"name": "b", "expression": "false"}]),
    ) as validating:
        await validating.validate(review(pod()))
    assert server.asked == {}


async def test_the_authorizer_in_conditions(server, storage):
    condition = {"name": "a", "expression": "!authorizer.requestResource.check('bypass').allowed()"}
    async with plugin(storage, hook(server, matchConditions=[condition])) as validating:
        await validating.validate(review(pod()))
        assert server.asked == {}
        await validating.validate(review(pod(), authorize=deny))
        assert len(server.asked["/"]) == 1


async def test_another_version_of_the_same_objects(server, storage):
    v2 = {
        "operations": ["*"],
        "apiGroups": ["autoscaling"],
        "apiVersions": ["v2"],
        "resources": ["horizontalpodautoscalers"],
    }
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": spec,
    }
    async with plugin(
        storage,
        hook(server, "/same", rules=[v2]),
        hook(server, "/exact", name="e.x.io", rules=[v2], matchPolicy="Exact"),
    ) as validating:
        await validating.validate(review(scaler, resource=AUTOSCALERS_V1))
    assert sorted(server.asked) == ["/same"]
    (request,) = server.requests("/same")
    assert (request["resource"]["version"], request["requestResource"]["version"]) == ("v2", "v1")
    assert (request["kind"]["version"], request["object"]["apiVersion"]) == ("v2", "autoscaling/v2")


async def test_nobody_locks_themselves_out(server, storage):
    server.answers["/"] = lambda _: {"allowed": False}
    async with plugin(storage, hook(server)) as validating:
        config = {"metadata": {"name": "config"}}
        await validating.validate(
            review(config, resource=VALIDATINGWEBHOOKCONFIGURATIONS, operation="DELETE", old=config)
        )
    assert server.asked == {}


async def test_dry_runs(server, storage):
    async with plugin(storage, hook(server, sideEffects="Some")) as validating:
        with pytest.raises(ApiError, match=r'admission webhook "check\.example\.com" does not support dry run'):
            await validating.validate(review(pod(), dry_run=True))
        await validating.validate(review(pod()))
    assert len(server.asked["/"]) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"allowed": True, "uid": "other"}, 'expected response.uid="'),
        ({"allowed": True, "patchType": "JSONPatch"}, "validating webhook may not return response.patchType"),
        (web.Response(status=500, text="oops"), 'an error on the server ("oops") has prevented the request'),
        (web.Response(status=404), "the server could not find the requested resource"),
        (
            web.Response(status=302, headers={"Location": "https://127.0.0.1:1/"}),
            "the server responded with the status code 302",
        ),
        (
            web.Response(text="<html>"),
            "failed to call webhook: couldn't get version/kind; json parse error: invalid character '<' looking for "
            "beginning of value",
        ),
        (
            web.json_response([]),
            "json: cannot unmarshal array into Go value of type struct { APIVersion string "
            r'"json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }',
        ),
        (
            web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "response": {}}),
            "failed to call webhook: converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion",
        ),
        (web.json_response({"kind": "AdmissionReview"}), "webhook response was absent"),
    ],
    ids=["uid", "patch", "500", "404", "redirect", "no json", "a list", "v1beta1", "no response"],
)
async def test_a_webhook_that_fails_refuses(server, storage, answer, sentence):
    server.answers["/"] = lambda _: answer
    async with plugin(storage, hook(server)) as validating:
        with pytest.raises(ApiError) as refused:
            await validating.validate(review(pod()))
    assert refused.value.code == 500
    assert refused.value.message.startswith('Internal error occurred: failed calling webhook "check.example.com": ')
    assert sentence in refused.value.message


async def test_an_answer_that_does_not_say_what_it_is(server, storage):
    server.answers["/"] = lambda request: web.json_response({"response": {"uid": request["uid"], "allowed": True}})
    async with plugin(storage, hook(server)) as validating:
        with pytest.raises(ApiError) as refused:
            await validating.validate(review(pod()))
    assert refused.value.message.endswith(
        "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, "
        "got /, Kind="
    )


async def test_a_webhook_that_knows_no_version_of_ours(server, storage):
    async with plugin(storage, hook(server, admissionReviewVersions=["v2"])) as validating:
        with pytest.raises(ApiError, match="could not create admission objects: webhook does not accept known"):
            await validating.validate(review(pod()))


async def test_a_failure_may_be_ignored(server, storage):
    server.answers["/"] = lambda _: web.Response(status=500)
    asked = review(pod())
    async with plugin(storage, hook(server, failurePolicy="Ignore")) as validating:
        await validating.validate(asked)
    key = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0"
    assert asked.call.annotations == {key: "check.example.com"}
