"""ImagePolicyWebhook: what it asks, whom it believes and for how long, and what happens when nobody answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import yaml
from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.config import Problems
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.configuration import load
from controlplane.apiserver.admission.image_policy import FAILED_OPEN, ImagePolicy, ImagePolicyWebhook, render
from tests.unit.controlplane.apiserver.admission.reviews import pod, review

VERSION, KIND = "imagepolicy.k8s.io/v1alpha1", "ImageReview"
NOBODY = ClientConfig("http://127.0.0.1:1/images")


class Backend:
    """What it answers (a status), and what it was asked."""

    def __init__(self) -> None:
        self.status, self.asked, self.url = {"allowed": True}, [], ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(orjson.loads(await request.read()))
        return web.json_response({"apiVersion": VERSION, "kind": KIND, "status": self.status})


@asynccontextmanager
async def asking(clock, **policy) -> AsyncIterator[tuple[ImagePolicyWebhook, Backend]]:
    backend = Backend()
    runner = web.ServerRunner(web.Server(backend.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    said = ImagePolicy(ClientConfig(f"http://{host}:{port}/images"), **policy)
    reviews = said.reviews(clock)
    yield ImagePolicyWebhook(said, reviews), backend
    await reviews.close()
    await runner.cleanup()


async def refusal(plugin, asked) -> str:
    with pytest.raises(ApiError) as refused:
        await plugin.validate(asked)
    assert refused.value.code == 403
    return refused.value.message


async def test_what_is_asked():
    async with asking(ManualClock()) as (plugin, backend):
        notes = {"mycluster.image-policy.k8s.io/ticket": "1", "other/note": "x"}
        await plugin.validate(review(pod(metadata={"annotations": notes}, initContainers=[{"image": "first"}])))
        assert backend.asked == [
            {
                "kind": KIND,
                "apiVersion": VERSION,
                "metadata": {"creationTimestamp": None},
                "spec": {
                    "containers": [{"image": "i"}, {"image": "first"}],
                    "annotations": {"mycluster.image-policy.k8s.io/ticket": "1"},
                    "namespace": "a",
                },
                "status": {"allowed": False},
            }
        ]
        debugged = pod(ephemeralContainers=[{"name": "e", "image": "shell"}])
        await plugin.validate(review(debugged, operation="UPDATE", old=pod(), subresource="ephemeralcontainers"))
        assert backend.asked[-1]["spec"] == {"containers": [{"image": "shell"}], "namespace": "a"}
        await plugin.validate(review(pod(), operation="UPDATE", old=pod(), subresource="status"))
        await plugin.validate(review(None, operation="DELETE", old=pod()))
        assert len(backend.asked) == 2


async def test_what_it_says():
    async with asking(ManualClock(), deny_ttl=0.0) as (plugin, backend):
        backend.status = {"allowed": False, "reason": "image i is old", "auditAnnotations": {"why": "age"}}
        asked = review(pod())
        assert await refusal(plugin, asked) == (
            'pods "p" is forbidden: image policy webhook backend denied one or more images: image i is old'
        )
        assert asked.call.annotations == {"imagepolicywebhook.image-policy.k8s.io/why": "age"}
        backend.status = {"allowed": False}
        assert await refusal(plugin, review(pod())) == (
            'pods "p" is forbidden: one or more images rejected by webhook backend'
        )


async def test_answers_hold_for_a_while():
    clock = ManualClock()
    async with asking(clock, allow_ttl=10.0, deny_ttl=5.0) as (plugin, backend):
        await plugin.validate(review(pod()))
        backend.status = {"allowed": False, "auditAnnotations": {"why": "age"}}
        await plugin.validate(review(pod()))
        assert len(backend.asked) == 1
        await clock.advance(10)
        asked = review(pod()), review(pod())
        for each in asked:
            await refusal(plugin, each)
            assert each.call.annotations, "what is remembered is noted too"
        assert len(backend.asked) == 2
        await clock.advance(5)
        await refusal(plugin, review(pod()))
        assert len(backend.asked) == 3


async def test_nobody_answers():
    reviews = ImagePolicy(NOBODY).reviews(ManualClock())
    message = await refusal(ImagePolicyWebhook(ImagePolicy(NOBODY), reviews), review(pod()))
    assert message.startswith('pods "p" is forbidden: Post "http://127.0.0.1:1/images?timeout=30s": dial tcp')
    asked = review(pod(metadata={"annotations": {"a": "b"}}))
    await ImagePolicyWebhook(ImagePolicy(NOBODY, default_allow=True), reviews).validate(asked)
    assert asked.call.annotations == {"imagepolicywebhook.image-policy.k8s.io/failed-open": "true"}
    assert asked.new["metadata"]["annotations"] == {"a": "b", FAILED_OPEN: "true"}
    await reviews.close()


def test_what_is_empty_is_left_out():
    assert render({"metadata": {}, "spec": {"containers": [{"name": "c"}]}}, "a") == {
        "containers": [{}],
        "namespace": "a",
    }


def loaded(tmp_path, document, enabled=("ImagePolicyWebhook", "PodNodeSelector")):
    (tmp_path / "kubeconfig").write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://images.example.com/review"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                "current-context": "c",
            }
        )
    )
    file = tmp_path / "admission.yaml"
    file.write_text(yaml.safe_dump(document))
    problems = Problems()
    return load(file, problems, enabled), list(problems)


def configured(name, configuration):
    plugins = [{"name": name, "configuration": configuration}]
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}


def image_policy(tmp_path, **fields):
    return {"imagePolicy": {"kubeConfigFile": str(tmp_path / "kubeconfig"), **fields}}


def test_the_configuration(tmp_path):
    times = {"allowTTL": 50, "denyTTL": -1, "retryBackoff": 200, "defaultAllow": True}
    found, problems = loaded(tmp_path, configured("ImagePolicyWebhook", image_policy(tmp_path, **times)))
    assert problems == []
    assert found.image_policy == ImagePolicy(ClientConfig("https://images.example.com/review"), 50.0, 0.0, 0.2, True)
    found, _ = loaded(tmp_path, configured("ImagePolicyWebhook", image_policy(tmp_path)))
    assert found.image_policy == ImagePolicy(ClientConfig("https://images.example.com/review"), 300.0, 30.0, 0.5, False)


def test_a_whole_file_for_the_plugins_without_versions(tmp_path):
    selectors = {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "a=b", "ns": "c=d", "odd": 1}}
    found, problems = loaded(tmp_path, {**image_policy(tmp_path), **selectors})
    assert problems == [] and found.image_policy is not None
    assert found.node_selectors == {"clusterDefaultNodeSelector": "a=b", "ns": "c=d"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"allowTTL": 3600}, "valid value is between 1s and 30m0s, got 1h0m0s"),
        ({"denyTTL": -2}, "valid value is between 1s and 30m0s, got -2s"),
        ({"retryBackoff": 300001}, "valid value is between 1ns and 5m0s, got 5m0.001s"),
        ({"allowTTL": "5s"}, "'5s' is no whole number"),
        ({"kubeConfigFile": ""}, "no configuration has been provided"),
        ({"kubeConfigFile": "/nowhere"}, "stat /nowhere: no such file or directory"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, fields, sentence):
    document = configured("ImagePolicyWebhook", image_policy(tmp_path, **fields))
    found, problems = loaded(tmp_path, document)
    assert found.image_policy is None
    assert len(problems) == 1 and sentence in problems[0] and 'plugin "ImagePolicyWebhook"' in problems[0]
    assert loaded(tmp_path, document, enabled=()) == (loaded(tmp_path, configured("x", {}), ())[0], [])


def test_without_a_configuration_it_does_not_start():
    problems = Problems()
    load(None, problems, ["ImagePolicyWebhook"])
    assert [each.partition(": ")[2] for each in problems] == [
        'couldn\'t init admission plugin "ImagePolicyWebhook": no config specified'
    ]
