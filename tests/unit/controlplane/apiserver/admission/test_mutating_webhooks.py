"""Webhooks that change the object: patches, their order, the second round."""

import orjson

from apimachinery.api.catalogue import (
    CONFIGMAPS,
    DEPLOYMENTS,
    MUTATINGWEBHOOKCONFIGURATIONS,
)
from controlplane.apiserver.admission.chain import Chain, Plugin
from controlplane.apiserver.admission.webhooks.told import describe_patch
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
