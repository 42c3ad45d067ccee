"""What the plug-ins add to objects and refuse, on the real embedded store where they look things up."""

import asyncio

import pytest

from apimachinery.api.catalogue import NAMESPACES, NODES, PODS, PRIORITYCLASSES, SERVICEACCOUNTS
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.namespace_lifecycle import LIVE_SECONDS, NamespaceLifecycle
from controlplane.apiserver.admission.priority import Priority
from controlplane.apiserver.admission.service_account import MOUNT_PATH, ServiceAccount
from controlplane.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.sqlite import SqliteStorage


@pytest.fixture
async def storage(tmp_path):
    store = await SqliteStorage.open(tmp_path / "store.db")
    yield store
    await store.close()


async def yes(_):
    return Decision.ALLOW, ""


def call(resource, user="bob", groups=(), namespace="a", subresource="", verb="create"):
    return Call(User(user, groups=groups), resource, verb, namespace, "", yes, subresource)


def pod(**spec):
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}}


async def put(storage, resource, obj):
    await ObjectStore(resource, storage).create({"apiVersion": resource.api_version, "kind": resource.kind, **obj})


async def test_a_namespace_must_be_there_and_alive(storage):
    store, clock = ObjectStore(NAMESPACES, storage), ManualClock()
    plugin = NamespaceLifecycle(Lookup(store), store, clock.monotonic)
    review = Review(call(PODS), "CREATE", pod())
    with pytest.raises(ApiError) as refused:
        await plugin.mutate(review)
    assert (refused.value.code, refused.value.message) == (404, 'namespaces "a" not found')
    await put(storage, NAMESPACES, {"metadata": {"name": "a"}, "status": {"phase": "Terminating"}})
    with pytest.raises(ApiError) as refused:
        await plugin.mutate(review)
    assert (refused.value.code, refused.value.message) == (
        403,
        'pods "p" is forbidden: unable to create new content in namespace a because it is being terminated',
    )
    assert refused.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    with pytest.raises(ApiError, match='pods "web-" is forbidden: unable to create new content'):
        await plugin.mutate(Review(call(PODS), "CREATE", pod() | {"metadata": {"generateName": "web-"}}))


async def test_a_deleted_namespace_is_looked_at_in_the_store(storage):
    store, clock = ObjectStore(NAMESPACES, storage), ManualClock()
    await put(storage, NAMESPACES, {"metadata": {"name": "a"}})
    lookup = Lookup(store)
    feed = asyncio.create_task(lookup.feed.run())
    await lookup.feed.synced.wait()
    await cancel_and_wait(feed)  # from here on the lookup is behind
    plugin = NamespaceLifecycle(lookup, store, clock.monotonic)
    await store.remove(await store.get("", "a"))
    await plugin.mutate(Review(call(PODS), "CREATE", pod()))
    deletion = Call(User("bob"), NAMESPACES, "delete", "", "a", yes)
    await plugin.validate(Review(deletion, "DELETE", None, {"metadata": {"name": "a"}}))
    with pytest.raises(ApiError, match='namespaces "a" not found'):
        await plugin.mutate(Review(call(PODS), "CREATE", pod()))
    await clock.advance(LIVE_SECONDS)
    await plugin.mutate(Review(call(PODS), "CREATE", pod()))


async def test_the_accounts_token_is_mounted(storage):
    plugin = ServiceAccount(Lookup(ObjectStore(SERVICEACCOUNTS, storage)), ManualClock())
    await put(storage, SERVICEACCOUNTS, {"metadata": {"name": "default", "namespace": "a"}})
    obj = pod()
    await plugin.mutate(Review(call(PODS), "CREATE", obj))
    assert obj["spec"]["serviceAccountName"] == "default"
    (mount,) = obj["spec"]["containers"][0]["volumeMounts"]
    (volume,) = obj["spec"]["volumes"]
    assert mount == {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    kinds = [next(iter(source)) for source in volume["projected"]["sources"]]
    assert kinds == ["serviceAccountToken", "configMap", "downwardAPI"]


async def test_no_token_where_none_is_wanted(storage):
    plugin = ServiceAccount(Lookup(ObjectStore(SERVICEACCOUNTS, storage)), ManualClock())
    account = {"metadata": {"name": "default", "namespace": "a"}, "automountServiceAccountToken": False}
    await put(storage, SERVICEACCOUNTS, account)
    obj = pod()
    await plugin.mutate(Review(call(PODS), "CREATE", obj))
    assert "volumes" not in obj["spec"]


async def test_five_minutes_of_patience():
    obj = pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}])
    await DefaultTolerationSeconds().mutate(Review(call(PODS), "CREATE", obj))
    added = [each for each in obj["spec"]["tolerations"] if "tolerationSeconds" in each]
    assert [(each["key"], each["tolerationSeconds"]) for each in added] == [("node.kubernetes.io/unreachable", 300)]


async def test_a_new_node_is_tainted():
    node = {"metadata": {"name": "n"}}
    await TaintNodesByCondition().mutate(Review(call(NODES), "CREATE", node))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_priority_comes_from_the_class(storage):
    store = ObjectStore(PRIORITYCLASSES, storage)
    lookup = Lookup(store)
    plugin = Priority(lookup, store)
    await put(storage, PRIORITYCLASSES, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
    feed = asyncio.create_task(lookup.feed.run())
    obj = pod(priorityClassName="high")
    await plugin.mutate(Review(call(PODS), "CREATE", obj))
    assert (obj["spec"]["priority"], obj["spec"]["preemptionPolicy"]) == (1000, "Never")
    unnamed = pod(priorityClassName="nope") | {"metadata": {"generateName": "web-"}}
    with pytest.raises(ApiError, match='pods "web-" is forbidden: no PriorityClass with name nope was found'):
        await plugin.mutate(Review(call(PODS), "CREATE", unnamed))
    with pytest.raises(ApiError, match="must not be provided"):
        await plugin.mutate(Review(call(PODS), "CREATE", pod(priority=5)))
    await cancel_and_wait(feed)


async def test_one_priority_class_is_the_default(storage):
    store = ObjectStore(PRIORITYCLASSES, storage)
    plugin = Priority(Lookup(store), store)
    await put(storage, PRIORITYCLASSES, {"metadata": {"name": "low"}, "value": 1, "globalDefault": True})
    low = await store.get("", "low")
    await plugin.validate(Review(call(PRIORITYCLASSES, namespace=""), "UPDATE", low, low))
    for operation in ("CREATE", "UPDATE"):
        other = {"metadata": {"name": "high"}, "value": 2, "globalDefault": True}
        with pytest.raises(ApiError, match="PriorityClass low is already marked as default"):
            await plugin.validate(Review(call(PRIORITYCLASSES, namespace=""), operation, other, other))
