"""More controllers against the real API server, with simulated nodes: budgets, schedules, protection."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import DEPLOYMENTS, PODDISRUPTIONBUDGETS, PODS
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path) as simulation:
        await simulation.fleet.add("worker-1")
        await simulation.fleet.add("worker-2")
        yield simulation


def template(**spec: Any) -> Object:
    containers = [{"name": "main", "image": "nginx"}]
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 1, **spec},
    }


def deployment(replicas: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template()},
    }


def budget(name: str = "web", **spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


async def allows(cluster: Simulation, **wanted: int) -> Object:
    async def look() -> Object | None:
        found = await cluster.client.get(PODDISRUPTIONBUDGETS, "web", "default")
        status = found.get("status") or {}
        return found if wanted.items() <= status.items() else None

    found: Object = await cluster.eventually(look, f"a budget with {wanted}")
    return found


async def evict(cluster: Simulation, name: str) -> Object:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    return await cluster.client.create_subresource(PODS, name, "eviction", body, "default")


async def kubectl(cluster: Simulation, *argv: str) -> str:
    config = cluster.directory / "admin.conf"
    process = await asyncio.create_subprocess_exec(
        "kubectl", "--kubeconfig", str(config), *argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_budget_guards_its_pods(cluster: Simulation) -> None:
    """Evictions are paid for one by one; two at once never spend the same disruption; a drain waits for its turn."""
    client = cluster.client
    await client.create(DEPLOYMENTS, deployment(4))
    await client.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable="25%"))
    found = await allows(cluster, expectedPods=4, currentHealthy=4, desiredHealthy=3, disruptionsAllowed=1)
    assert pods.condition(found, "DisruptionAllowed")["reason"] == "SufficientPods"  # type: ignore[index]
    names = [objects.name(pod) for pod in (await client.list(PODS, "default"))["items"]]

    # The replacements are held back, so that the budget stays spent.
    cluster.fleet.held = lambda pod: objects.name(pod) not in names
    answers = await asyncio.gather(*(evict(cluster, name) for name in names), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, ApiError)]
    assert len(refused) == 3 and all(error.code == 429 for error in refused), answers
    assert {error.message for error in refused} == {"Cannot evict pod as it would violate the pod's disruption budget."}
    spent = await allows(cluster, currentHealthy=3, disruptionsAllowed=0)
    assert pods.condition(spent, "DisruptionAllowed")["reason"] == "InsufficientPods"  # type: ignore[index]

    cluster.fleet.held = lambda pod: False
    for pod in (await client.list(PODS, "default"))["items"]:
        if not pods.is_ready(pod):
            await client.delete(PODS, objects.name(pod), "default", grace_period=0)
    await allows(cluster, currentHealthy=4, disruptionsAllowed=1)
    output = await kubectl(cluster, "drain", "worker-1", "--timeout=60s", "--force")
    assert "node/worker-1 drained" in output
    on_nodes = {pods.node_name(pod) for pod in (await client.list(PODS, "default"))["items"] if pods.is_ready(pod)}
    assert on_nodes == {"worker-2"}


async def test_two_budgets_over_a_pod_and_pods_of_nobody(cluster: Simulation) -> None:
    """Upstream's refusal of the first; the second makes a percentage incomputable by events, not by death."""
    client = cluster.client
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "default"}, **template()}
    bare["metadata"] = {"name": "bare", "namespace": "default", "labels": {"app": "web"}}
    await client.create(PODS, bare)
    await client.create(PODDISRUPTIONBUDGETS, budget(minAvailable=0))
    await allows(cluster, expectedPods=1, currentHealthy=1, disruptionsAllowed=1)
    await client.create(PODDISRUPTIONBUDGETS, budget("other", minAvailable="50%"))
    with pytest.raises(ApiError, match="This pod has more than one PodDisruptionBudget") as caught:
        await evict(cluster, "bare")
    assert caught.value.code == 500

    async def told() -> bool:
        output = await kubectl(cluster, "get", "events", "-o", "jsonpath={.items[*].reason}")
        return {"UnmanagedPods", "MultiplePodDisruptionBudgets"} <= set(output.split())

    await client.patch(PODS, "bare", {"metadata": {"labels": {"app": "web", "more": "x"}}}, "default")
    await cluster.eventually(told, "events about a pod with two budgets and without a controller")
