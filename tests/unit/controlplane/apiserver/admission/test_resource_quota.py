"""ResourceQuota at admission: what is charged, what is refused, and that two servers never grant the same twice."""

import asyncio

import pytest

from apimachinery.api.catalogue import CONFIGMAPS, RESOURCEQUOTAS, SERVICES
from apimachinery.api.quota.evaluators import evaluator
from apimachinery.kit.clock import SystemClock
from apimachinery.meta import status
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.resource_quota.charge import (
    LimitedResource,
    NotCovered,
    Refused,
    plan_charges,
)
from controlplane.apiserver.admission.resource_quota.plugin import ResourceQuota
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.sqlite import SqliteStorage
from tests.unit.controlplane.apiserver.admission.reviews import lookup, pod, put, review

NOW = SystemClock().now()


def quota(hard, used=None, name="q", **spec):
    state = {"hard": hard, "used": used if used is not None else dict.fromkeys(hard, "0")}
    return {"metadata": {"name": name, "namespace": "a"}, "spec": {"hard": hard, **spec}, "status": state}


def asking(cpu):
    return pod(containers=[{"name": "c", "resources": {"requests": {"cpu": cpu}}}])


def charges(quotas, obj, old=None, plural="pods", limited=()):
    found = plan_charges(quotas, evaluator("", plural), obj, old, NOW, limited)
    return {charge.quota["metadata"]["name"]: charge.used for charge in found}


def test_every_quota_that_matches_is_charged():
    quotas = [
        quota({"pods": "2", "cpu": "1"}, {"pods": "1", "cpu": "250m"}),
        quota({"secrets": "1"}, name="other"),
        quota({"pods": "5"}, name="best", scopes=["BestEffort"]),
    ]
    assert charges(quotas, asking("500m")) == {"q": {"pods": "2", "cpu": "750m"}}


@pytest.mark.parametrize(
    ("quotas", "obj", "sentence"),
    [
        (
            [quota({"pods": "1", "cpu": "1"}, {"pods": "1", "cpu": "900m"})],
            asking("500m"),
            "exceeded quota: q, requested: cpu=500m,pods=1, used: cpu=900m,pods=1, limited: cpu=1,pods=1",
        ),
        (
            [quota({"cpu": "1", "limits.memory": "1Gi"})],
            pod(),
            "failed quota: q: must specify cpu for: c; limits.memory for: c",
        ),
        ([quota({"pods": "1"}, {})], pod(), "status unknown for quota: q, resources: pods"),
    ],
    ids=["exceeded", "must specify", "not counted yet"],
)
def test_refusals(quotas, obj, sentence):
    with pytest.raises(Refused) as refused:
        charges(quotas, obj)
    assert str(refused.value) == sentence


def test_an_update_costs_the_difference():
    def service(kind):
        return {"metadata": {"name": "s"}, "spec": {"type": kind, "ports": [{}]}}

    quotas = [quota({"services": "1", "services.nodeports": "1"}, {"services": "1", "services.nodeports": "0"})]
    changed = charges(quotas, service("NodePort"), service("ClusterIP"), "services")
    assert changed == {"q": {"services": "1", "services.nodeports": "1"}}
    assert charges(quotas, service("ClusterIP"), service("NodePort"), "services") == {}


def test_what_is_limited_must_be_covered():
    limited = (LimitedResource("", "pods", ("cpu",)),)
    with pytest.raises(Refused, match=r"insufficient quota to consume: cpu,requests\.cpu"):
        charges([], asking("1"), limited=limited)
    high = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    limited = (LimitedResource("", "pods", (), (high,)),)
    with pytest.raises(NotCovered, match=r"insufficient quota to match these scopes: \[{PriorityClass In \[high\]}\]"):
        charges([], pod(priorityClassName="high"), limited=limited)
    covering = quota({"pods": "1"}, scopeSelector={"matchExpressions": [high]})
    assert charges([covering], pod(priorityClassName="high"), limited=limited) == {"q": {"pods": "1"}}


async def test_a_scope_that_nobody_covers_is_told_as_upstream_does(storage):
    high = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    async with lookup(storage, RESOURCEQUOTAS) as quotas:
        limited = (LimitedResource("", "pods", (), (high,)),)
        plugin = ResourceQuota(quotas, ObjectStore(RESOURCEQUOTAS, storage), limited, SystemClock())
        with pytest.raises(ApiError) as refused:
            await plugin.validate(review(pod(priorityClassName="high")))
    assert (refused.value.code, refused.value.reason, refused.value.message) == (
        500, "", "insufficient quota to match these scopes: [{PriorityClass In [high]}]"
    )  # fmt: skip


async def test_the_status_is_charged(storage):
    store = ObjectStore(RESOURCEQUOTAS, storage)
    await put(storage, RESOURCEQUOTAS, quota({"count/configmaps": "1"}))
    async with lookup(storage, RESOURCEQUOTAS) as quotas:
        plugin = ResourceQuota(quotas, store, (), SystemClock())
        settings = {"metadata": {"name": "m"}}
        await plugin.validate(review(settings, resource=CONFIGMAPS, dry_run=True))
        await plugin.validate(review(settings, resource=CONFIGMAPS, namespace="b"))
        await plugin.validate(review(settings, resource=CONFIGMAPS))
        assert (await store.get("a", "q"))["status"]["used"] == {"count/configmaps": "1"}
        with pytest.raises(ApiError) as refused:
            await plugin.validate(review(settings, resource=CONFIGMAPS))
        assert (refused.value.code, refused.value.message) == (
            403,
            'configmaps "m" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, '
            "limited: count/configmaps=1",
        )
        await plugin.validate(review(settings, resource=CONFIGMAPS, operation="UPDATE", old=settings))
        await plugin.validate(review({"metadata": {"name": "s"}, "spec": {}}, resource=SERVICES))


async def test_two_servers_grant_no_more_than_there_is(tmp_path):
    """Each with its own plug-in (and lock) on one store: of 40 requests for 10 places exactly 10 are granted."""
    storage = await SqliteStorage.open(tmp_path / "shared.db")
    await put(storage, RESOURCEQUOTAS, quota({"pods": "10", "cpu": "100"}))
    store = ObjectStore(RESOURCEQUOTAS, storage)
    async with lookup(storage, RESOURCEQUOTAS) as one, lookup(storage, RESOURCEQUOTAS) as other:
        servers = [ResourceQuota(each, store, (), SystemClock()) for each in (one, other)]

        async def ask(number):
            try:
                await servers[number % 2].validate(review(asking("1")))
            except ApiError as error:
                assert status.is_forbidden(error) and "exceeded quota: q, requested: pods=1" in error.message
                return 0
            return 1

        granted = sum(await asyncio.gather(*(ask(number) for number in range(40))))
    assert granted == 10
    assert (await store.get("a", "q"))["status"]["used"] == {"pods": "10", "cpu": "10"}
    await storage.close()
