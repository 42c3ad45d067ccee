"""Webhooks, against a real HTTPS server: whom they are asked about, what is sent, what the answers do."""

import asyncio
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from apimachinery.api.catalogue import (
    CATALOGUE,
    CONFIGMAPS,
    DEPLOYMENTS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Chain, Plugin
from controlplane.apiserver.admission.matching import rule_matches
from controlplane.apiserver.admission.webhooks.client import CallFailed, WebhookClient
from controlplane.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from controlplane.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import deny, lookup, pod, put, review
from tests.unit.controlplane.apiserver.admission.webhook_server import webhook_server

AUTOSCALERS_V1 = CATALOGUE.find("autoscaling", "v1", "horizontalpodautoscalers")
EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}


def hook(server, path="/", name="check.example.com", **fields):
    return {
        "name": name,
        "clientConfig": server.config(path),
        "rules": [EVERYTHING],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **fields,
    }


@pytest.fixture
async def server(tmp_path):
    async with webhook_server(tmp_path) as served:
        yield served


@asynccontextmanager
async def plugin(storage, *hooks, mutating=False, name="config"):
    """The plug-in with one configuration that holds these hooks."""
    resource = MUTATINGWEBHOOKCONFIGURATIONS if mutating else VALIDATINGWEBHOOKCONFIGURATIONS
    await put(storage, NAMESPACES, {"metadata": {"name": "a", "labels": {"team": "blue"}}})
    await put(storage, resource, {"metadata": {"name": name}, "webhooks": list(hooks)})
    client = WebhookClient(ObjectStore(SERVICES, storage))
    async with lookup(storage, resource) as configurations, lookup(storage, NAMESPACES) as namespaces:
        made = MutatingAdmissionWebhook if mutating else ValidatingAdmissionWebhook
        yield made(configurations, namespaces, client)
    await client.close()


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


async def test_a_scale_is_told_as_one(server, storage):
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 5}}
    server.answers["/"] = lambda _: {
        "allowed": True, "patch": [{"op": "replace", "path": "/spec/replicas", "value": 2}]
    }  # fmt: skip
    asked = review(deployment, resource=DEPLOYMENTS, operation="UPDATE", old=deployment, subresource="scale")
    async with plugin(storage, hook(server), mutating=True) as mutating:
        await mutating.mutate(asked)
    (request,) = server.requests()
    assert (request["kind"]["kind"], request["object"]["spec"], request["subResource"]) == (
        "Scale",
        {"replicas": 5},
        "scale",
    )
    assert asked.new["kind"] == "Deployment" and asked.new["spec"]["replicas"] == 2


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


async def test_a_patch_is_applied_and_defaulted(server, storage):
    container = {"name": "side", "image": "s"}
    server.answers["/"] = lambda _: {
        "allowed": True, "patch": [{"op": "add", "path": "/spec/containers/-", "value": container}]
    }  # fmt: skip
    asked = review(pod())
    async with plugin(storage, hook(server), mutating=True) as mutating:
        await mutating.mutate(asked)
    added = asked.new["spec"]["containers"][1]
    assert added["name"] == "side" and added["imagePullPolicy"] == "Always", "defaults come after the patch"
    annotations = asked.call.annotations
    said = orjson.loads(annotations["mutation.webhook.admission.k8s.io/round_0_index_0"])
    assert said == {"configuration": "config", "webhook": "check.example.com", "mutated": True}
    assert "patch.webhook.admission.k8s.io/round_0_index_0" in annotations


async def test_webhooks_see_what_those_before_them_did(server, storage):
    label = {"op": "add", "path": "/metadata/labels", "value": {"app": "web"}}
    server.answers["/first"] = lambda _: {"allowed": True, "patch": [label]}
    async with plugin(
        storage,
        hook(server, "/first", "first.x.io"),
        hook(server, "/second", "second.x.io", objectSelector={"matchLabels": {"app": "web"}}),
        mutating=True,
    ) as mutating:
        await mutating.mutate(review(pod()))
    assert server.requests("/second")[0]["object"]["metadata"]["labels"] == {"app": "web"}


async def test_who_wants_to_is_asked_again_after_a_change(server, storage):
    label = {"op": "add", "path": "/metadata/labels", "value": {"app": "web"}}
    server.answers["/changes"] = lambda _: {"allowed": True, "patch": [label]}
    async with plugin(
        storage,
        hook(server, "/again", "again.x.io", reinvocationPolicy="IfNeeded"),
        hook(server, "/once", "once.x.io"),
        hook(server, "/changes", "changes.x.io"),
        mutating=True,
    ) as mutating:
        await Chain([mutating]).mutate(review(pod()))
    assert {path: len(asked) for path, asked in server.asked.items()} == {"/again": 2, "/once": 1, "/changes": 1}


async def test_a_plugins_change_has_webhooks_asked_again(server, storage):
    """The first round's webhook made another plug-in change the object in the second."""

    class Counting(Plugin):
        name = "Counting"

        async def mutate(self, review):
            if review.reinvocation.running:
                review.new["metadata"]["labels"] = {"counted": "twice"}

    annotate = {"op": "add", "path": "/metadata/annotations", "value": {"seen": "yes"}}
    server.answers["/"] = lambda request: (
        {"allowed": True} if "annotations" in request["object"]["metadata"] else {"allowed": True, "patch": [annotate]}
    )
    async with plugin(storage, hook(server, reinvocationPolicy="IfNeeded"), mutating=True) as mutating:
        await Chain([Counting(), mutating]).mutate(review(pod()))
    assert [each["object"]["metadata"].get("labels") for each in server.requests()] == [None, {"counted": "twice"}]


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
        (web.Response(text="<html>"), "couldn't get version/kind; json parse error"),
        (web.json_response({"kind": "AdmissionReview"}), "webhook response was absent"),
    ],
    ids=["uid", "patch", "500", "404", "redirect", "no json", "no response"],
)
async def test_a_webhook_that_fails_refuses(server, storage, answer, sentence):
    server.answers["/"] = lambda _: answer
    async with plugin(storage, hook(server)) as validating:
        with pytest.raises(ApiError) as refused:
            await validating.validate(review(pod()))
    assert refused.value.code == 500
    assert refused.value.message.startswith('Internal error occurred: failed calling webhook "check.example.com": ')
    assert sentence in refused.value.message


async def test_a_failure_may_be_ignored(server, storage):
    server.answers["/"] = lambda _: web.Response(status=500)
    asked = review(pod())
    async with plugin(storage, hook(server, failurePolicy="Ignore")) as validating:
        await validating.validate(asked)
    key = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0"
    assert asked.call.annotations == {key: "check.example.com"}


async def test_a_webhook_that_does_not_answer_in_time(server, storage):
    hanging = asyncio.Event()
    client = WebhookClient(ObjectStore(SERVICES, storage))
    silent = await asyncio.start_server(lambda reader, writer: hanging.wait(), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with pytest.raises(CallFailed) as failed:
        await client.post({"url": f"https://127.0.0.1:{port}/x", "caBundle": server.bundle}, b"{}", 0.2)
    assert str(failed.value) == (
        f'failed to call webhook: Post "https://127.0.0.1:{port}/x?timeout=0.2s": context deadline exceeded'
    )
    hanging.set()
    silent.close()
    await client.close()


async def test_failures_to_connect(server, storage, tmp_path):
    client = WebhookClient(ObjectStore(SERVICES, storage))
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()

    async def failure(config):
        with pytest.raises(CallFailed) as failed:
            await client.post(config, b"{}", 5)
        return str(failed.value)

    url = f"https://127.0.0.1:{port}/"
    assert await failure({"url": url}) == (
        f'failed to call webhook: Post "{url}?timeout=5s": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    assert "x509: certificate signed by unknown authority" in await failure({"url": server.config()["url"]})
    assert "Unparsable URL" in await failure({"url": "http://127.0.0.1/"})
    assert "must have either service or URL" in await failure({})
    await client.close()


async def test_a_service_is_called_at_its_cluster_ip_by_its_name(storage):
    client = WebhookClient(ObjectStore(SERVICES, storage))

    async def endpoint(name, port=None, path=None, **spec):
        await put(storage, SERVICES, {"metadata": {"name": name, "namespace": "a"}, "spec": spec})
        reference = {
            "name": name,
            "namespace": "a",
            **({"port": port} if port else {}),
            **({"path": path} if path else {}),
        }
        return await client.endpoint({"service": reference})

    found = await endpoint("good", 8443, "/mutate", clusterIP="10.96.0.7", ports=[{"port": 8443}])
    assert (found.host, found.port, found.name) == ("10.96.0.7", 8443, "good.a.svc")
    assert str(found.shown) == "https://good.a.svc:8443/mutate"
    for name, spec, sentence in (
        (
            "noport",
            {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]},
            'no service port 443 found for service "noport"',
        ),
        ("headless", {"clusterIP": "None", "ports": [{"port": 443}]}, 'cannot route to service with ClusterIP "None"'),
        ("local", {"clusterIP": "127.0.0.1", "ports": [{"port": 443}]}, "address not allowed"),
        ("external", {"type": "ExternalName", "externalName": "localhost"}, "address not allowed"),
    ):
        with pytest.raises(CallFailed) as failed:
            await endpoint(name, **spec)
        assert str(failed.value) == f'failed to call webhook: Post "https://{name}.a.svc:443/": {sentence}'
    with pytest.raises(CallFailed, match='service "gone" not found'):
        await client.endpoint({"service": {"name": "gone", "namespace": "a"}})


async def test_every_configuration_counts_by_name(server, storage):
    order = []

    def note(name):
        def answer(_):
            order.append(name)
            return {"allowed": True}

        return answer

    for name in ("b", "a"):
        server.answers[f"/{name}"] = note(name)
    await put(storage, MUTATINGWEBHOOKCONFIGURATIONS, {"metadata": {"name": "b"}, "webhooks": [hook(server, "/b")]})
    async with plugin(storage, hook(server, "/a"), mutating=True, name="a") as mutating:
        await mutating.mutate(
            review({"metadata": {"name": "m"}, "apiVersion": "v1", "kind": "ConfigMap"}, resource=CONFIGMAPS)
        )
    assert order == ["a", "b"]
