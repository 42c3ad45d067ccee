"""PodNodeSelector, and NamespaceAutoProvision: what namespaces say of pods, and where namespaces come from."""

import pytest

from apimachinery.api.catalogue import NAMESPACES
from apimachinery.kit.clock import ManualClock
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.admission.namespace_auto_provision import NamespaceAutoProvision
from controlplane.apiserver.admission.pod_node_selector import ANNOTATION, DEFAULT, PodNodeSelector
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.strategies.namespace import NamespaceStrategy
from tests.unit.controlplane.apiserver.admission.reviews import deny, lookup, pod, put, review

CONFLICT = 'pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector'
OTHERS = 'pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist'


async def namespace(storage, name="a", **annotations):
    await put(storage, NAMESPACES, {"metadata": {"name": name, "annotations": annotations}})


async def admitted(namespaces, selectors, asked=None, where="a"):
    """The node selector of a pod that asked for one, after admission."""
    obj = pod(**({"nodeSelector": asked} if asked is not None else {}))
    plugin = PodNodeSelector(namespaces, selectors)
    await plugin.mutate(review(obj, namespace=where))
    await plugin.validate(review(obj, namespace=where))
    return obj["spec"].get("nodeSelector")


async def test_a_namespaces_selector_is_added(storage):
    await namespace(storage, **{ANNOTATION: "env=prod, zone = a"})
    await namespace(storage, "empty", **{ANNOTATION: ""})
    await namespace(storage, "silent")
    usual = {DEFAULT: "env=test"}
    async with lookup(storage, NAMESPACES) as namespaces:
        assert await admitted(namespaces, usual) == {"env": "prod", "zone": "a"}
        assert await admitted(namespaces, usual, {"disk": "ssd"}) == {"disk": "ssd", "env": "prod", "zone": "a"}
        assert await admitted(namespaces, usual, {"env": "prod"}) == {"env": "prod", "zone": "a"}
        assert await admitted(namespaces, usual, where="silent") == {"env": "test"}
        assert await admitted(namespaces, {}, where="silent") is None
        assert await admitted(namespaces, usual, where="empty") is None, "an empty annotation is one"


async def test_what_is_refused(storage):
    await namespace(storage, **{ANNOTATION: "env=prod"})
    async with lookup(storage, NAMESPACES) as namespaces:
        with pytest.raises(ApiError) as refused:
            await admitted(namespaces, {}, {"env": "test"})
        assert (refused.value.code, refused.value.message) == (403, CONFLICT)
        allowed = {"a": "env=prod,disk=ssd"}
        assert await admitted(namespaces, allowed, {"disk": "ssd"}) == {"disk": "ssd", "env": "prod"}
        for asked in ({"disk": "hdd"}, {"zone": "a"}):
            with pytest.raises(ApiError) as refused:
                await admitted(namespaces, allowed, asked)
            assert (refused.value.code, refused.value.message) == (403, OTHERS)


async def test_validation_sees_what_others_changed(storage):
    await namespace(storage, **{ANNOTATION: "env=prod"})
    async with lookup(storage, NAMESPACES) as namespaces:
        plugin = PodNodeSelector(namespaces, {"a": "env=prod"})
        for selector, sentence in (({"env": "test"}, CONFLICT), ({"env": "prod", "zone": "b"}, OTHERS)):
            with pytest.raises(ApiError) as refused:
                await plugin.validate(review(pod(nodeSelector=selector)))
            assert refused.value.message == sentence
        running = pod(nodeSelector={"env": "test"})
        await plugin.validate(review(running, operation="UPDATE", old=running))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("env", "invalid selector: [env]"),
        ("env=a=b", "invalid selector: [env a b]"),
        ("a=b,", "invalid selector: []"),
        ("-=b", '<nil>: Invalid value: "-": name part must consist of alphanumeric characters'),
        ("a=b c", '[a]: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric'),
    ],
)
async def test_a_selector_that_is_none(storage, text, sentence):
    await namespace(storage, **{ANNOTATION: text})
    async with lookup(storage, NAMESPACES) as namespaces:
        with pytest.raises(ApiError) as refused:
            await admitted(namespaces, {})
        assert (refused.value.code, refused.value.reason) == (500, "")
        assert refused.value.message.startswith(sentence)


async def test_a_namespace_is_made_for_who_creates_something_in_it(storage):
    async with lookup(storage, NAMESPACES) as namespaces:
        store = ObjectStore(NAMESPACES, storage)
        collection = Collection(store, NamespaceStrategy(NAMESPACES), Chain([]), ManualClock())
        plugin = NamespaceAutoProvision(namespaces, lambda: collection)
        await plugin.mutate(review(pod(), dry_run=True))
        await plugin.mutate(review(pod(), operation="UPDATE", old=pod()))
        await plugin.mutate(review({"metadata": {"name": "a"}}, resource=NAMESPACES))
        assert await store.find("", "a") is None
        for _ in range(2):
            await plugin.mutate(review(pod(), authorize=deny))
        made = await store.get("", "a")
        assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
        assert made["spec"] == {"finalizers": ["kubernetes"]} and made["status"] == {"phase": "Active"}
        with pytest.raises(ApiError) as refused:
            await plugin.mutate(review(pod(), namespace="Not a name"))
        assert refused.value.code == 403 and 'Namespace "Not a name" is invalid' in refused.value.message
