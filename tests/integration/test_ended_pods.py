"""Pods that end though they should not: those of DaemonSets and StatefulSets are made anew, and it is told. So is what
else is put right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apimachinery.api.catalogue import DAEMONSETS, EVENTS, NODES, PODS, STATEFULSETS
from apimachinery.meta import objects, pods
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import template

Object = dict[str, Any]


async def test_pods_that_end_are_made_anew(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data") as cluster:
        client = cluster.client
        await cluster.fleet.add("worker-1")
        for resource, name in ((DAEMONSETS, "agent"), (STATEFULSETS, "db")):
            labels = {"app": name}
            body = {**template(), "metadata": {"labels": labels}}
            spec: Object = {"selector": {"matchLabels": labels}, "template": body}
            if resource is STATEFULSETS:
                spec["serviceName"] = name
            metadata = {"name": name, "namespace": "default"}
            await client.create(resource, {"metadata": metadata, "spec": spec})
        daemon = await _end(cluster, "agent", "Succeeded")
        await _end(cluster, "db", "Succeeded")
        await _end(cluster, "db", "Failed")
        said = f"Found succeeded daemon pod {objects.key(daemon)} on node worker-1, will try to delete it"
        await _told(cluster, "agent", ("Normal", "SucceededDaemonPod", said))
        text = "StatefulSet default/db is recreating {} Pod db-0"
        await _told(cluster, "db", ("Normal", "RecreatingTerminatedPod", text.format("terminated")))
        await _told(cluster, "db", ("Warning", "RecreatingFailedPod", text.format("failed")))


async def test_a_pod_gets_the_name_back_that_a_service_selects_it_by(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data") as cluster:
        await cluster.fleet.add("worker-1")
        body = {**template(), "metadata": {"labels": {"app": "db"}}}
        spec: Object = {"selector": {"matchLabels": {"app": "db"}}, "template": body, "serviceName": "db"}
        await cluster.client.create(STATEFULSETS, {"metadata": {"name": "db", "namespace": "default"}, "spec": spec})

        async def named() -> bool:
            selector = "statefulset.kubernetes.io/pod-name=db-0,apps.kubernetes.io/pod-index=0"
            return bool((await cluster.client.list(PODS, "default", label_selector=selector))["items"])

        await cluster.eventually(named, "the pod")
        lost = {"statefulset.kubernetes.io/pod-name": None, "apps.kubernetes.io/pod-index": "7"}
        await cluster.client.patch(PODS, "db-0", {"metadata": {"labels": lost}}, "default")
        await cluster.eventually(named, "the pod under its name")
        await _told(cluster, "db", ("Normal", "SuccessfulUpdate", "update Pod db-0 in StatefulSet db successful"))


async def test_the_status_follows_the_pods_of_a_set_that_is_deleted(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data") as cluster:
        client = cluster.client
        await cluster.fleet.add("worker-1")
        body = {**template(), "metadata": {"labels": {"app": "db"}, "finalizers": ["example.com/hold"]}}
        spec: Object = {
            "selector": {"matchLabels": {"app": "db"}},
            "template": body,
            "serviceName": "db",
            "replicas": 2,
        }
        await client.create(STATEFULSETS, {"metadata": {"name": "db", "namespace": "default"}, "spec": spec})

        async def replicas(count: int) -> bool:
            return bool((await client.get(STATEFULSETS, "db", "default"))["status"].get("replicas") == count)

        await cluster.eventually(lambda: replicas(2), "both pods")
        await client.delete(STATEFULSETS, "db", "default", propagation="Foreground")
        await client.delete(PODS, "db-1", "default")
        await client.patch(PODS, "db-1", {"metadata": {"finalizers": None}}, "default")
        await cluster.eventually(lambda: replicas(1), "one pod left")


async def test_nodes_that_come_and_go_are_told_of(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data", grace=15.0, scheduler=False) as cluster:
        await cluster.fleet.add("worker-1")
        text = "Node worker-1 event: {} Node worker-1 {} Controller"
        await _told(cluster, "worker-1", ("Normal", "RegisteredNode", text.format("Registered", "in")))
        cluster.fleet.forget("worker-1")
        await cluster.client.delete(NODES, "worker-1")
        await _told(cluster, "worker-1", ("Normal", "RemovingNode", text.format("Removing", "from")))


async def _end(cluster: Simulation, app: str, phase: str) -> Object:
    """End the one pod of that label, wait for the next one to be ready, and return the one that ended."""

    async def ready() -> Object | None:
        listed = (await cluster.client.list(PODS, "default", label_selector=f"app={app}"))["items"]
        return next((pod for pod in listed if pods.is_ready(pod) and pods.is_active(pod)), None)

    ended: Object = await cluster.eventually(ready, f"a pod of {app}")

    async def another() -> bool:
        found = await ready()
        return found is not None and objects.uid(found) != objects.uid(ended)

    await cluster.fleet.finish(ended, phase)
    await cluster.eventually(another, f"another pod of {app}")
    return ended


async def _told(cluster: Simulation, name: str, wanted: tuple[str, str, str]) -> None:
    async def look() -> bool:
        events = (await cluster.client.list(EVENTS, field_selector=f"involvedObject.name={name}"))["items"]
        return wanted in [(each["type"], each["reason"], each["message"]) for each in events]

    await cluster.eventually(look, f"the event {wanted}")
