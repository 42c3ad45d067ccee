"""Webhooks that change the object: patches, their order, the second round."""

import base64

import orjson
import pytest
from aiohttp import web

from apimachinery.api.catalogue import (
    CONFIGMAPS,
    DEPLOYMENTS,
    MUTATINGWEBHOOKCONFIGURATIONS,
)
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Chain, Plugin
from controlplane.apiserver.admission.webhooks.told import describe_patch
from controlplane.apiserver.authn import remarks
from tests.unit.controlplane.apiserver.admission.reviews import pod, put, review
from tests.unit.controlplane.apiserver.admission.webhook_server import hook, plugin


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
    assert asked.told == [('webhook "check.example.com"', '+spec.containers[-]: {"name":"side","image":"s"}')]


def reviewed(request, **response):
    """An answer whose patch is as it stands."""
    said = {"uid": request["uid"], **response}
    return web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": said})


def encoded(text):
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (b'{"op": "remove"}', "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (b'"text"', "json: cannot unmarshal string into Go value of type jsonpatch.Patch"),
        (b'["text"]', "json: cannot unmarshal string into Go value of type jsonpatch.Operation"),
        (b"- op", "invalid character ' ' in numeric literal"),
    ],
)
async def test_what_is_no_patch_is_an_error_whatever_the_failure_policy(server, storage, patch, sentence):
    answer = {"allowed": True, "patch": encoded(patch), "patchType": "JSONPatch"}
    server.answers["/"] = lambda request: reviewed(request, **answer)
    asked = review(pod())
    async with plugin(storage, hook(server, failurePolicy="Ignore"), mutating=True) as mutating:
        with pytest.raises(ApiError) as refused:
            await mutating.mutate(asked)
    assert refused.value.message == f"Internal error occurred: {sentence}"
    said = orjson.loads(asked.call.annotations["mutation.webhook.admission.k8s.io/round_0_index_0"])
    assert said["mutated"] is False, "noted for refused requests too"


@pytest.mark.parametrize(("patch", "at"), [('[{"op":', 0), ("W10=!", 4), ("W10", 0), ("W3t9XQ", 4)])
async def test_a_patch_that_is_not_in_base64_is_a_failed_call(server, storage, patch, at):
    answer = {"allowed": True, "patch": patch, "patchType": "JSONPatch"}
    server.answers["/"] = lambda request: reviewed(request, **answer)
    async with plugin(storage, hook(server), mutating=True) as mutating:
        with pytest.raises(ApiError, match=f"failed to call webhook: illegal base64 data at input byte {at}$"):
            await mutating.mutate(review(pod()))


async def test_a_refusal_does_not_look_into_the_patch(server, storage):
    answer = {"allowed": False, "patch": encoded(b"{}"), "patchType": "JSONPatch"}
    server.answers["/"] = lambda request: reviewed(request, **answer)
    async with plugin(storage, hook(server), mutating=True) as mutating:
        with pytest.raises(ApiError, match="denied the request without explanation"):
            await mutating.mutate(review(pod()))


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


def test_a_patch_in_words():
    patch = [
        {"op": "test", "path": "/spec", "value": {}},
        {"op": "add", "path": "/metadata/labels/app.kubernetes.io~1name", "value": "web"},
        {"op": "remove", "path": "/spec/hostNetwork"},
        {"op": "replace", "path": "/spec/containers/0/image", "value": "i" * 100},
        {"op": "move", "from": "/spec/a", "path": "/spec/b"},
        {"op": "add", "path": "/spec/none", "value": None},
    ]
    assert list(describe_patch(patch)) == [
        '+metadata.labels[app.kubernetes.io/name]: "web"',
        "-spec.hostNetwork",
        f'spec.containers[0].image: "{"i" * 58}…',
        "spec.b: moved from spec.a",
        "+spec.none: null",
    ]


def test_a_secrets_values_are_not_told():
    patch = [
        {"op": "add", "path": "/data/password", "value": "aHVzaA=="},
        {"op": "replace", "path": "/stringData", "value": {"password": "hush"}},
    ]
    assert list(describe_patch(patch, secret=True)) == ["+data.password: …", "stringData: …"]


@pytest.mark.parametrize(
    ("way", "field", "other"), [("mutate", "waited", "validated"), ("validate", "validated", "waited")]
)
async def test_the_time_of_webhooks_is_kept_apart_from_the_servers(server, storage, way, field, other):
    server.answers["/"] = lambda _: {"allowed": True}
    said = remarks.begin()
    async with plugin(storage, hook(server), mutating=way == "mutate") as asked:
        await getattr(asked, way)(review(pod()))
    assert getattr(said, field) > 0 and getattr(said, other) == 0
