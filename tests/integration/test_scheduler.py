"""The scheduler against the real API server, with simulated nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import EVENTS, NODES, PODS, PRIORITYCLASSES
from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta import objects, pods
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.config_file import LeaseAt
from controlplane.scheduler.profiles import Profile
from controlplane.scheduler.wire import build as build_scheduler
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.simulation import a_pod as pod

Object = dict[str, Any]

MASTER = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


@pytest.fixture
async def cluster(tmp_path: Path, etcd_of_two: str) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data", etcd=etcd_of_two) as simulation:
        await simulation.fleet.add("master-1", taints=[MASTER])
        await simulation.fleet.add("worker-1")
        await simulation.fleet.add("worker-2")
        yield simulation


async def bound(cluster: Simulation, name: str) -> str:
    async def look() -> str | None:
        return pods.node_name(await cluster.client.get(PODS, name, "default")) or None

    node: str = await cluster.eventually(look, f"{name} bound")
    return node


async def event(cluster: Simulation, name: str, reason: str, message: str = "") -> Object:
    """The first event whose message begins so: the scheduler may not have heard of everything at once."""
    selector = f"involvedObject.name={name},reason={reason}"

    async def look() -> Object | None:
        items = (await cluster.client.list(EVENTS, "default", field_selector=selector))["items"]
        return next((item for item in items if item["message"].startswith(message)), None)

    found: Object = await cluster.eventually(look, f"event {reason} on {name}: {message}")
    return found


async def test_a_pod_is_bound_and_says_so(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod("a"))
    node = await bound(cluster, "a")
    assert node in ("worker-1", "worker-2")
    told = await event(cluster, "a", "Scheduled")
    assert (told["type"], told["message"]) == ("Normal", f"Successfully assigned default/a to {node}")
    assert told["reportingComponent"] == "default-scheduler"


async def test_every_attempt_is_counted_and_timed(cluster: Simulation) -> None:
    ran = "framework_extension_point_duration_seconds_count"
    profile = {"profile": "default-scheduler"}
    watched: list[tuple[str, dict[str, str]]] = [
        ("schedule_attempts_total", {"result": "scheduled", **profile}),
        ("scheduling_attempt_duration_seconds_count", {"result": "scheduled", **profile}),
        ("schedule_attempts_total", {"result": "unschedulable", **profile}),
        ("scheduling_attempt_duration_seconds_count", {"result": "unschedulable", **profile}),
        ("pod_scheduling_attempts_count", {}),
        ("pod_scheduling_sli_duration_seconds_count", {"attempts": "1"}),
        ("preemption_attempts_total", {}),
        (ran, {"extension_point": "Filter", "status": "Success", **profile}),
        (ran, {"extension_point": "Score", "status": "Success", **profile}),
        (ran, {"extension_point": "PostFilter", "status": "Unschedulable", **profile}),
        (ran, {"extension_point": "Bind", "status": "Success", **profile}),
    ]

    def told() -> list[float]:
        return [REGISTRY.get_sample_value(f"scheduler_{name}", labels) or 0 for name, labels in watched]

    before = told()
    await cluster.client.create(PODS, pod("counted"))
    await bound(cluster, "counted")
    await cluster.client.create(PODS, pod("too-large", cpu="60"))
    await event(cluster, "too-large", "FailedScheduling")
    assert [now - then for now, then in zip(told(), before, strict=True)] == [1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]


async def test_a_pod_that_fits_nowhere_says_why_and_is_bound_when_it_fits(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod("large", cpu="6"))
    message = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
        "2 Insufficient cpu. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    told = await event(cluster, "large", "FailedScheduling", message)
    assert told["message"] == message

    async def said() -> bool:
        found = pods.condition(await cluster.client.get(PODS, "large", "default"), "PodScheduled") or {}
        return (found.get("status"), found.get("reason"), found.get("message")) == ("False", "Unschedulable", message)

    await cluster.eventually(said, "the same in the PodScheduled condition")
    larger = {"cpu": "8", "memory": "8Gi", "pods": "110"}
    await cluster.client.patch(NODES, "worker-2", {"status": {"allocatable": larger}}, subresource="status")
    assert await bound(cluster, "large") == "worker-2"


async def test_an_uncordoned_node_wakes_the_pods_that_wait_for_it(cluster: Simulation) -> None:
    for name in ("worker-1", "worker-2"):
        await cluster.client.patch(NODES, name, {"spec": {"unschedulable": True}})

    async def tainted() -> bool:
        nodes = (await cluster.client.list(NODES))["items"]
        keys = [taint["key"] for node in nodes for taint in (node.get("spec") or {}).get("taints") or ()]
        return keys.count("node.kubernetes.io/unschedulable") == 2

    await cluster.eventually(tainted, "what has been heard of by others, the scheduler has heard of")
    await cluster.client.create(PODS, pod("a"))
    message = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
        "2 node(s) were unschedulable."
    )
    await event(cluster, "a", "FailedScheduling", message)
    await cluster.client.patch(NODES, "worker-1", {"spec": {"unschedulable": None}})
    assert await bound(cluster, "a") == "worker-1"


async def test_pods_of_another_scheduler_are_left_alone(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod("theirs", schedulerName="mine"))
    await cluster.client.create(PODS, pod("ours"))
    await bound(cluster, "ours")
    assert not pods.node_name(await cluster.client.get(PODS, "theirs", "default"))


async def test_a_more_important_pod_makes_room(cluster: Simulation) -> None:
    client = cluster.client
    for name, value in (("low", 1), ("high", 1000)):
        priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        await client.create(PRIORITYCLASSES, {**priority, "value": value})
    for number in range(2):
        await client.create(PODS, pod(f"low-{number}", cpu="3", priorityClassName="low"))
        await bound(cluster, f"low-{number}")
    await client.create(PODS, pod("high", cpu="2", priorityClassName="high"))
    await bound(cluster, "high")
    left = [objects.name(p) for p in (await client.list(PODS, "default"))["items"] if not objects.is_deleting(p)]
    assert len(left) == 2
    evicted = ({"low-0", "low-1"} - set(left)).pop()
    assert (await event(cluster, evicted, "Preempted"))["message"].startswith("Preempted by pod ")


async def test_two_schedulers_at_once_bind_each_pod_once(cluster: Simulation) -> None:
    """200 pods, two schedulers without leader election: the API refuses the second binding, nobody is lost."""
    stop = asyncio.Event()
    second = build_scheduler(SchedulerConfig(load_kubeconfig(cluster.directory / "scheduler.conf")))
    task = asyncio.create_task(second.run(stop))
    places: dict[str, set[str]] = {}

    async def watch(version: str) -> None:
        async for change in cluster.client.watch(PODS, "default", resource_version=version):
            if change.type != "BOOKMARK" and pods.node_name(change.object):
                places.setdefault(objects.name(change.object), set()).add(pods.node_name(change.object))

    version = (await cluster.client.list(PODS, "default"))["metadata"]["resourceVersion"]
    watching = asyncio.create_task(watch(version))
    await asyncio.gather(*(cluster.client.create(PODS, pod(f"p{i}", cpu="10m")) for i in range(200)))

    async def everyone() -> bool:
        return len(places) == 200

    await cluster.eventually(everyone, "200 pods bound")
    watching.cancel()
    stop.set()
    await task
    assert {name: nodes for name, nodes in places.items() if len(nodes) != 1} == {}
    spread = Counter(node for nodes in places.values() for node in nodes)
    assert set(spread) == {"worker-1", "worker-2"}


async def test_who_fills_its_cache_as_the_leader_alone_schedules_then(cluster: Simulation) -> None:
    client = load_kubeconfig(cluster.directory / "scheduler.conf")
    late = SchedulerConfig(
        client,
        leader_elect=True,
        delay_cache=True,
        lease=LeaseAt(name="late"),
        profiles=(Profile(scheduler_name="late"),),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(build_scheduler(late).run(stop))
    await cluster.client.create(PODS, pod("late", schedulerName="late"))
    await bound(cluster, "late")
    stop.set()
    await task
