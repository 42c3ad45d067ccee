"""Nodes that pods are nominated to, and how they lose them. A gated pod stands for one that waits for its victims."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import PODS, PRIORITYCLASSES
from apimachinery.meta import pods
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.simulation import a_pod as pod

Object = dict[str, Any]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data") as simulation:
        await simulation.fleet.add("worker-1")
        for name, value in (("middle", 5), ("high", 1000)):
            priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
            await simulation.client.create(PRIORITYCLASSES, {**priority, "value": value})
        yield simulation


async def nominated(cluster: Simulation, cpu: str) -> None:
    """A pod `waits` for room on the node, as the scheduler sees it."""
    await cluster.client.create(PODS, pod("waits", cpu, priorityClassName="middle", schedulingGates=[{"name": "a/b"}]))
    await cluster.client.patch(
        PODS, "waits", {"status": {"nominatedNodeName": "worker-1"}}, "default", subresource="status"
    )


async def bound(cluster: Simulation, name: str) -> None:
    async def look() -> bool:
        return bool(pods.node_name(await cluster.client.get(PODS, name, "default")))

    await cluster.eventually(look, f"{name} bound")


async def refused(cluster: Simulation, name: str) -> None:
    async def look() -> bool:
        found = pods.condition(await cluster.client.get(PODS, name, "default"), "PodScheduled") or {}
        return found.get("reason") == "Unschedulable"

    await cluster.eventually(look, f"{name} refused")


async def free(cluster: Simulation) -> None:
    async def look() -> bool:
        return not (await cluster.client.get(PODS, "waits", "default"))["status"].get("nominatedNodeName")

    await cluster.eventually(look, "no nomination")


async def test_a_pod_that_no_eviction_helps_is_nominated_no_more(cluster: Simulation) -> None:
    await nominated(cluster, "99")
    await cluster.client.patch(PODS, "waits", {"spec": {"schedulingGates": []}}, "default")
    await refused(cluster, "waits")
    await free(cluster)


async def test_a_more_important_pod_takes_the_nomination_of_others(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod("low", "3"))
    await bound(cluster, "low")
    await nominated(cluster, "2")
    await cluster.client.create(PODS, pod("high", "3", priorityClassName="high"))
    await bound(cluster, "high")
    await free(cluster)


async def test_the_room_of_a_nominated_pod_that_goes_is_free(cluster: Simulation) -> None:
    await nominated(cluster, "3")
    await cluster.client.create(PODS, pod("low", "3"))
    await refused(cluster, "low")
    await cluster.client.delete(PODS, "waits", "default", grace_period=0)
    await bound(cluster, "low")
