"""ReplicationControllers: what came before Deployments and is still served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import EVENTS, PODS, REPLICATIONCONTROLLERS
from apimachinery.controller.owners import is_controlled_by
from apimachinery.meta import objects, pods
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone, template

Object = dict[str, Any]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data") as simulation:
        await simulation.fleet.add("worker-1")
        yield simulation


async def status_is(cluster: Simulation, **wanted: int) -> Object:
    async def look() -> Object | None:
        found = await cluster.client.get(REPLICATIONCONTROLLERS, "web", "default")
        status = found.get("status") or {}
        return found if all(status.get(key) == value for key, value in wanted.items()) else None

    found: Object = await cluster.eventually(look, f"status {wanted}")
    return found


async def test_a_replication_controller_keeps_its_pods(cluster: Simulation) -> None:
    client = cluster.client
    body = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 2, "template": template()}}
    await client.create(REPLICATIONCONTROLLERS, body)
    made = await status_is(cluster, replicas=2, fullyLabeledReplicas=2, readyReplicas=2, availableReplicas=2)
    assert made["status"]["observedGeneration"] == made["metadata"]["generation"]
    found = (await client.list(PODS, "default"))["items"]
    assert len(found) == 2 and all(is_controlled_by(pod, made) for pod in found)
    assert all(objects.name(pod).startswith("web-") for pod in found)

    async def told() -> bool:
        events = (await client.list(EVENTS, "default"))["items"]
        return any(
            e["reason"] == "SuccessfulCreate" and e["reportingComponent"] == "replication-controller" for e in events
        )

    await cluster.eventually(told, "an event of the replication-controller")
    # A pod of nobody that it selects is one too many, and it makes up for one that is lost.
    await client.patch(REPLICATIONCONTROLLERS, "web", {"spec": {"replicas": 3}}, "default", subresource="scale")
    await status_is(cluster, replicas=3, readyReplicas=3)
    await client.create(
        PODS, {**template(), "metadata": {"name": "alone", "namespace": "default", "labels": {"app": "web"}}}
    )
    await client.patch(REPLICATIONCONTROLLERS, "web", {"spec": {"replicas": 1}}, "default", subresource="scale")

    async def one() -> bool:
        left = [pod for pod in (await client.list(PODS, "default"))["items"] if pods.is_active(pod)]
        return len(left) == 1 and is_controlled_by(left[0], made)

    await cluster.eventually(one, "one pod of its own")
    await client.delete(REPLICATIONCONTROLLERS, "web", "default", propagation="Background")
    await gone(cluster, REPLICATIONCONTROLLERS, "web")

    async def none() -> bool:
        return not (await client.list(PODS, "default"))["items"]

    await cluster.eventually(none, "no pods")
