"""The controllers under faults: whatever goes wrong on the way, what is reached is what is reached without faults.

Every fault is drawn by a seed, which a failure names. KUBELAB_FAULTS=full takes many more seeds.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    REPLICASETS,
    STATEFULSETS,
)
from apimachinery.controller.owners import controller_of
from apimachinery.meta import objects, pods
from tests.integration.faults import Faults, JumpingClock, Manager, Observer
from tests.integration.pod_follower import family
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import template

Object = dict[str, Any]

FULL = os.environ.get("KUBELAB_FAULTS") == "full"
WITHIN = 120.0  # seconds a test waits for what takes one or two

KINDS = [
    pytest.param(Faults(refuse=0.2), id="refused requests and conflicts"),
    pytest.param(Faults(lose=0.2), id="requests and answers lost"),
    pytest.param(Faults(late=0.3, twice=0.3, cut=0.05), id="events late, twice, and watches cut"),
    pytest.param(Faults(kill_within=8), id="killed at its writes"),
    pytest.param(Faults(refuse=0.08, lose=0.08, late=0.08, twice=0.1, cut=0.02, kill_within=25), id="all at once"),
]
SEEDS = range(1, 21) if FULL else (1,)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data", grace=15.0, controllers=False) as simulation:
        await simulation.fleet.add("worker-1")
        await simulation.fleet.add("worker-2")
        yield simulation


def workload(kind: str, name: str, image: str = "nginx", **spec: Any) -> Object:
    labels = {"app": name}
    body = {**template(image), "metadata": {"labels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": body, **spec},
    }


def job(name: str, **spec: Any) -> Object:
    body = {**template("busybox", restartPolicy="Never"), "metadata": {}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": body, **spec}}


async def act(cluster: Simulation) -> None:
    """What users do: start, change, scale, and take away again, without waiting for what came before."""
    client = cluster.client
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    await client.create(DEPLOYMENTS, workload("Deployment", "web", replicas=4, strategy=strategy))
    await client.create(STATEFULSETS, workload("StatefulSet", "db", replicas=3, serviceName="db"))
    await client.create(DAEMONSETS, workload("DaemonSet", "agent"))
    await client.create(DEPLOYMENTS, workload("Deployment", "gone", replicas=2))
    await client.create(JOBS, job("sum", completions=4, parallelism=2, backoffLimit=10))
    await cluster.eventually(lambda: _ready(cluster, "web", 4), "the first web pods", WITHIN)
    changed = workload("Deployment", "web", "nginx:2")["spec"]["template"]
    await client.patch(DEPLOYMENTS, "web", {"spec": {"template": changed}}, "default")
    await client.patch(STATEFULSETS, "db", {"spec": {"replicas": 2}}, "default")
    await client.delete(DEPLOYMENTS, "gone", "default")


async def _ready(cluster: Simulation, app: str, count: int) -> bool:
    listed = (await cluster.client.list(PODS, "default", label_selector=f"app={app}"))["items"]
    return sum(pods.is_ready(pod) and pods.is_active(pod) for pod in listed) == count


async def state(cluster: Simulation) -> Object:
    """What is there, without what differs from run to run: uids, times, the letters of generated names."""
    client = cluster.client
    every = (await client.list(PODS, "default"))["items"]
    for pod in every:  # the Job's containers end as soon as somebody looks
        if family(pod)[0] == "Job" and pods.phase(pod) == "Running" and not objects.is_deleting(pod):
            await cluster.fleet.finish(pod, "Succeeded")
    found: Object = {
        "pods": sorted((*family(pod), pod["spec"]["containers"][0]["image"], pods.phase(pod)) for pod in every)
    }
    owners = set()
    for resource in (DEPLOYMENTS, REPLICASETS, STATEFULSETS, DAEMONSETS, JOBS):
        for each in (await client.list(resource, "default"))["items"]:
            owners.add(objects.uid(each))
            status = {key: value for key, value in (each.get("status") or {}).items() if isinstance(value, int)}
            if status.pop("observedGeneration", None) != each["metadata"].get("generation") and resource is not JOBS:
                status["behind"] = 1
            found[f"{resource.kind}/{objects.name(each)}"] = status
            kinds = [c["type"] for c in (each.get("status") or {}).get("conditions") or () if c["status"] == "True"]
            if resource is JOBS:
                found["conditions"] = sorted(kinds)
    found["orphans"] = [objects.name(pod) for pod in every if (controller_of(pod) or {}).get("uid") not in owners]
    found["names"] = sorted(objects.name(pod) for pod in every if family(pod)[0] == "StatefulSet")
    return found


ROLLED_OUT = {
    "pods": sorted(
        [("Deployment", "web", "nginx:2", "Running")] * 4
        + [("StatefulSet", "db", "nginx", "Running")] * 2
        + [("DaemonSet", "agent", "nginx", "Running")] * 2
        + [("Job", "sum", "busybox", "Succeeded")] * 4
    ),
    "Deployment/web": {"replicas": 4, "updatedReplicas": 4, "readyReplicas": 4, "availableReplicas": 4},
    "StatefulSet/db": {
        "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "currentReplicas": 2, "updatedReplicas": 2,
        "collisionCount": 0,
    },
    "DaemonSet/agent": {
        "currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberAvailable": 2, "numberMisscheduled": 0,
        "numberReady": 2, "updatedNumberScheduled": 2,
    },
    "Job/sum": {"ready": 0, "succeeded": 4, "terminating": 0},
    "conditions": ["Complete", "SuccessCriteriaMet"],
    "orphans": [],
    "names": ["db-0", "db-1"],
}  # fmt: skip
"""What users asked for in `act`, as it is reached without faults (the first of these tests)."""


async def converged(cluster: Simulation, wanted: Object) -> None:
    last: Object = {}

    async def look() -> bool:
        nonlocal last
        last = await state(cluster)
        sets = {key: value for key, value in last.items() if key.startswith("ReplicaSet/")}
        rest = {key: value for key, value in last.items() if key not in sets}
        return rest == wanted and sorted(each["replicas"] for each in sets.values()) == [0, 4]

    try:
        await cluster.eventually(look, "the state that is reached without faults", WITHIN)
    except AssertionError as error:
        raise AssertionError(f"{error}: {last}") from None


async def check(cluster: Simulation, faults: Faults) -> None:
    async with Observer(cluster.client) as observer, Manager(cluster, faults) as manager:
        try:
            await act(cluster)
            await converged(cluster, ROLLED_OUT)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{manager.deaths} deaths, writes {manager.writes.most_common(30)}") from None
        manager.heal()
        assert observer.most[("Deployment", "web")] <= 5, "more pods than maxSurge allows"
        assert observer.most[("Deployment", "gone")] <= 2
        assert observer.most[("StatefulSet", "db")] <= 3
        assert observer.most[("Job", "sum")] <= 2, "more pods than the parallelism"
        assert not observer.twins
        assert not faults.kill_within or manager.deaths, "nobody was killed"


async def test_what_is_reached_without_faults(cluster: Simulation) -> None:
    await check(cluster, Faults())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", KINDS)
async def test_what_is_reached_with_faults(cluster: Simulation, faults: Faults, seed: int) -> None:
    faults.seed = seed
    await check(cluster, faults)


async def test_a_wall_clock_that_jumps_restarts_nothing(cluster: Simulation) -> None:
    """Ten minutes and a day, forth and back: every pod stays, and after each jump the controllers still work."""
    clock = JumpingClock()
    async with Manager(cluster, Faults(), clock):
        await cluster.client.create(DEPLOYMENTS, workload("Deployment", "web", replicas=1))
        every_hour = {"schedule": "0 * * * *", "suspend": True, "jobTemplate": {"spec": job("never")["spec"]}}
        cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "never", "namespace": "default"}}
        await cluster.client.create(CRONJOBS, {**cron, "spec": every_hour})
        kept: set[str] = set()
        for number, seconds in enumerate((600, -600, 86_400, -86_400), start=2):
            clock.ahead += type(clock.ahead)(seconds=seconds)
            await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": number}}, "default")
            await cluster.eventually(lambda count=number: _ready(cluster, "web", count), f"{number} pods", WITHIN)
            found = {objects.uid(pod) for pod in (await cluster.client.list(PODS, "default"))["items"]}
            assert kept <= found, f"a pod went when the clock jumped by {seconds} s"
            kept = found
        nodes = (await cluster.client.list(NODES))["items"]
        assert not any((node.get("spec") or {}).get("taints") for node in nodes)
        assert all((pods.condition(node, "Ready") or {}).get("status") == "True" for node in nodes)
        assert not (await cluster.client.list(JOBS, "default"))["items"]
