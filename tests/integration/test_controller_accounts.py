"""kube-controller-manager --use-service-account-credentials: each controller asks in a name of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import DEPLOYMENTS, PODS, SELFSUBJECTREVIEWS, SERVICEACCOUNTS
from apimachinery.client.accounts import LIFETIME, Accounts
from apimachinery.client.rest import Client
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError
from controlplane.controllers.descriptors import enabled
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import template

Object = dict[str, Any]


@pytest.fixture
async def cluster(tmp_path: Path, etcd_of_two: str) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data", etcd=etcd_of_two) as simulation:
        yield simulation


def deployment(name: str) -> Object:
    body = {**template(), "metadata": {"labels": {"app": name}}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": body}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


async def accounts(cluster: Simulation) -> dict[str, str]:
    """Their uids by their names."""
    found = (await cluster.client.list(SERVICEACCOUNTS, "kube-system"))["items"]
    return {objects.name(each): objects.uid(each) for each in found}


async def test_every_controller_has_an_account_from_the_start(cluster: Simulation) -> None:
    expected = {each.account for each in enabled(cluster.controllers)} - {""} | {"default"}

    async def look() -> bool:
        return set(await accounts(cluster)) == expected

    await cluster.eventually(look, "the accounts of all controllers")


async def test_an_account_that_was_deleted_is_made_anew_when_its_token_is_refused(cluster: Simulation) -> None:
    names = ("deployment-controller", "replicaset-controller")
    await cluster.client.create(DEPLOYMENTS, deployment("web"))
    replicas = 1

    async def scaled() -> bool:
        return len((await cluster.client.list(PODS, "default", label_selector="app=web"))["items"]) == replicas

    await cluster.eventually(scaled, "a pod")
    uids = await accounts(cluster)
    for name in names:
        await cluster.client.delete(SERVICEACCOUNTS, name, "kube-system")

    async def anew() -> bool:
        """A server that has just seen the token believes it for some seconds more."""
        nonlocal replicas
        replicas += 1
        await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}}, "default")
        now = await accounts(cluster)
        return all(now.get(name, uids[name]) != uids[name] for name in names)

    await cluster.eventually(anew, "other accounts")
    await cluster.eventually(scaled, "all pods")


async def who(client: Client) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    review = await client.create(SELFSUBJECTREVIEWS, body)
    return str(review["status"]["userInfo"]["username"])


async def test_a_token_is_asked_for_anew_before_it_ends(cluster: Simulation) -> None:
    clock = ManualClock()
    async with Accounts(cluster.client, "test", lambda: True, clock) as made:
        client = made.client("ttl-controller")
        assert await who(client) == "system:serviceaccount:kube-system:ttl-controller"
        first = client.config.token
        await clock.advance(0.8 * LIFETIME - 1)
        await who(client)
        assert client.config.token == first
        await clock.advance(1)
        await who(client)
        assert client.config.token != first


async def test_an_account_may_no_more_than_its_role_says(cluster: Simulation) -> None:
    """The manager itself makes accounts and tokens; it changes nothing of what its controllers are there for."""
    body = deployment("refused")
    async with Client(cluster.controllers.client, "test") as manager:
        with pytest.raises(ApiError, match='User "system:kube-controller-manager" cannot create resource') as caught:
            await manager.create(DEPLOYMENTS, body)
    assert caught.value.code == 403
