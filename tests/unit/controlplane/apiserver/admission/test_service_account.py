"""ServiceAccount: which account a pod gets, and what Secrets it may name with it."""

import asyncio

import pytest

from apimachinery.api.catalogue import PODS, SERVICEACCOUNTS
from apimachinery.kit.clock import ManualClock
from apimachinery.meta.pods import MIRROR
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.service_account import ATTEMPTS, PAUSE_SECONDS, ServiceAccount
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import pod, put, review

FROM_KEY = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}
LIMIT = "is not allowed because service account default does not reference that secret"


def container(name="c", **fields):
    return {"name": name, "image": "i", **fields}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def plugin(storage, clock):
    return ServiceAccount(Lookup(ObjectStore(SERVICEACCOUNTS, storage)), clock)


async def account(storage, name="default", *, enforced="true", **fields):
    annotations = {"kubernetes.io/enforce-mountable-secrets": enforced}
    meta = {"name": name, "namespace": "a", "annotations": annotations}
    await put(storage, SERVICEACCOUNTS, {"metadata": meta, "automountServiceAccountToken": False, **fields})


async def test_the_default_account_is_waited_for(plugin, storage, clock):
    asked = asyncio.create_task(plugin.mutate(review(pod())))
    await clock.advance(0.0)
    await account(storage)
    while not asked.done():
        await clock.advance(PAUSE_SECONDS[1])
    await asked


async def test_an_account_that_does_not_come_is_told_with_the_generated_name(plugin, clock):
    unnamed = pod() | {"metadata": {"generateName": "web-", "namespace": "a"}}
    asked = asyncio.create_task(plugin.mutate(review(unnamed)))
    while not asked.done():
        await clock.advance(PAUSE_SECONDS[1])
    assert PAUSE_SECONDS[0] * (ATTEMPTS - 1) <= clock.monotonic()
    with pytest.raises(ApiError) as refused:
        await asked
    assert refused.value.message == (
        'pods "web-" is forbidden: error looking up service account a/default: serviceaccount "default" not found'
    )
    with pytest.raises(ApiError, match='a/robot: serviceaccount "robot" not found'):
        await plugin.mutate(review(pod(serviceAccountName="robot")))  # nobody makes that one, so nobody waits


async def test_an_account_that_a_webhook_named_has_to_be_there(plugin, storage):
    with pytest.raises(ApiError, match='serviceaccount "robot" not found'):
        await plugin.validate(review(pod(serviceAccountName="robot")))
    await account(storage, "robot")
    await plugin.validate(review(pod(serviceAccountName="robot")))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"volumes": [{"name": "v", "secret": {"secretName": "mine"}}]}, None),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "other"}}]},
            f'volume with secret.secretName="other" {LIMIT}',
        ),
        (
            {"initContainers": [container("i", env=[FROM_KEY])]},
            f'init container i with envVar PASSWORD referencing secret.secretName="other" {LIMIT}',
        ),
        (
            {"containers": [container(envFrom=[{"secretRef": {"name": "other"}}])]},
            f'container c with envFrom referencing secret.secretName="other" {LIMIT}',
        ),
        ({"imagePullSecrets": [{"name": "pull"}]}, None),
        (
            {"imagePullSecrets": [{"name": "pull"}, {"name": "mine"}]},
            'imagePullSecrets[1].name="mine" is not allowed because service account default does not reference that '
            "imagePullSecret",
        ),
    ],
)
async def test_an_account_may_limit_its_pods_secrets(plugin, storage, spec, problem):
    await account(storage, secrets=[{"name": "mine"}], imagePullSecrets=[{"name": "pull"}])
    if problem is None:
        await plugin.mutate(review(pod(**spec)))
        return
    with pytest.raises(ApiError) as refused:
        await plugin.mutate(review(pod(**spec)))
    assert refused.value.message == f'pods "p" is forbidden: {problem}'
    with pytest.raises(ApiError):
        await plugin.validate(review(pod(**spec, serviceAccountName="default")))


async def test_only_accounts_that_say_so_limit_secrets(plugin, storage):
    await account(storage, enforced="false")
    await plugin.mutate(review(pod(volumes=[{"name": "v", "secret": {"secretName": "other"}}])))


async def test_ephemeral_containers_are_limited_too(plugin, storage):
    await account(storage)

    def given(**spec):
        new = pod(ephemeralContainers=[container("debug", env=[FROM_KEY])], **spec)
        return review(new, resource=PODS, operation="UPDATE", old=pod(**spec), subresource="ephemeralcontainers")

    with pytest.raises(ApiError) as refused:
        await plugin.validate(given(serviceAccountName="default"))
    assert refused.value.message == (
        'pods "p" is forbidden: ephemeral container debug with envVar PASSWORD referencing secret.secretName="other" '
        f"{LIMIT}"
    )
    with pytest.raises(ApiError, match="no service account specified for pod a/p"):
        await plugin.validate(given())


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]},
        {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}]},
        {"containers": [container(env=[FROM_KEY])]},
        {"imagePullSecrets": [{"name": "s"}]},
    ],
)
async def test_a_mirror_pod_names_no_secret_anywhere(plugin, spec):
    mirror = pod(metadata={"annotations": {MIRROR: "x"}}, **spec)
    with pytest.raises(ApiError, match="a mirror pod may not reference secrets"):
        await plugin.mutate(review(mirror))
