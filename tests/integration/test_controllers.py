"""Controllers against the real API server, with simulated nodes: what a user sees of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    CONFIGMAPS,
    CONTROLLERREVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    EVENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    RESOURCEQUOTAS,
    SERVICEACCOUNTS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone, template

Object = dict[str, Any]


@pytest.fixture
async def cluster(request: pytest.FixtureRequest, tmp_path: Path, etcd_of_two: str) -> AsyncIterator[Simulation]:
    """Parametrized with how long nodes may be silent, in seconds, for the tests of silence."""
    grace = getattr(request, "param", 50.0)
    async with simulated_cluster(tmp_path / "data", grace=grace, eviction_rate=10.0, etcd=etcd_of_two) as simulation:
        await simulation.fleet.add("worker-1")
        await simulation.fleet.add("worker-2")
        yield simulation


def workload(kind: str, api_version: str = "apps/v1", **spec: Any) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec},
    }


def service(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }


async def live_pods(cluster: Simulation) -> list[Object]:
    listed = await cluster.client.list(PODS, "default")
    return [pod for pod in listed["items"] if not objects.is_deleting(pod)]


async def ready_pods(cluster: Simulation, count: int) -> list[Object]:
    async def look() -> list[Object] | None:
        found = await live_pods(cluster)
        return found if len(found) == count and all(pods.is_ready(pod) for pod in found) else None

    found: list[Object] = await cluster.eventually(look, f"{count} ready pods")
    return found


async def rolled_out(cluster: Simulation, replicas: int) -> Object:
    async def look() -> Object | None:
        found = await cluster.client.get(DEPLOYMENTS, "web", "default")
        status, generation = found.get("status") or {}, found["metadata"]["generation"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return found if counts == [replicas] * 3 and status.get("observedGeneration") == generation else None

    found: Object = await cluster.eventually(look, f"{replicas} replicas, all new and available")
    return found


async def test_the_journey(cluster: Simulation) -> None:
    """Deployment → ReplicaSet → Pods on both workers → EndpointSlice; scale, replace, update, undo, delete."""
    client = cluster.client
    await client.create(DEPLOYMENTS, workload("Deployment", replicas=3))
    await client.create(SERVICES, service())
    running = await ready_pods(cluster, 3)
    assert {pods.node_name(pod) for pod in running} == {"worker-1", "worker-2"}
    first = await rolled_out(cluster, 3)
    assert objects.annotations(first)["deployment.kubernetes.io/revision"] == "1"

    async def endpoints(count: int) -> Object | None:
        listed = await client.list(ENDPOINTSLICES, "default", label_selector="kubernetes.io/service-name=web")
        found = [e for each in listed["items"] for e in each.get("endpoints") or ()]
        return listed if len(found) == count and all(e["conditions"]["ready"] for e in found) else None

    slices = await cluster.eventually(lambda: endpoints(3), "three ready endpoints")
    assert slices["items"][0]["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]

    async def classic() -> bool:
        found = await client.get(ENDPOINTS, "web", "default")
        return [len(each["addresses"]) for each in found.get("subsets") or ()] == [3]

    await cluster.eventually(classic, "three addresses in the Endpoints, which another controller writes")

    await client.delete(PODS, objects.name(running[0]), "default")
    await cluster.eventually(lambda: _replaced(cluster, objects.uid(running[0])), "the deleted pod replaced by another")
    await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, "default")
    await rolled_out(cluster, 5)
    await cluster.eventually(lambda: endpoints(5), "five ready endpoints")

    await client.patch(DEPLOYMENTS, "web", {"spec": {"template": template("nginx:2")}}, "default")
    second = await rolled_out(cluster, 5)
    assert objects.annotations(second)["deployment.kubernetes.io/revision"] == "2"
    assert {pod["spec"]["containers"][0]["image"] for pod in await ready_pods(cluster, 5)} == {"nginx:2"}

    await client.patch(DEPLOYMENTS, "web", {"spec": {"template": template("nginx"), "replicas": 2}}, "default")
    third = await rolled_out(cluster, 2)
    assert objects.annotations(third)["deployment.kubernetes.io/revision"] == "3"
    sets = (await client.list(REPLICASETS, "default"))["items"]
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 2]

    await client.delete(SERVICES, "web", "default")
    await client.delete(DEPLOYMENTS, "web", "default")

    async def nothing_left() -> bool:
        lists = [await client.list(resource, "default") for resource in (REPLICASETS, PODS)]
        slices = await client.list(ENDPOINTSLICES, "default", label_selector="kubernetes.io/service-name=web")
        return not any(each["items"] for each in (*lists, slices))

    await cluster.eventually(nothing_left, "ReplicaSets, Pods and slices collected")
    await gone(cluster, ENDPOINTS, "web")


async def _replaced(cluster: Simulation, uid: str) -> bool:
    found = await live_pods(cluster)
    return len(found) == 3 and all(objects.uid(p) != uid and pods.is_ready(p) for p in found)


async def test_a_rolling_update_never_leaves_its_bounds(cluster: Simulation) -> None:
    """As seen by a watch: never more than 4 + 1 pods that count, never fewer than 4 - 1 available."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    await cluster.client.create(DEPLOYMENTS, workload("Deployment", replicas=4, strategy=strategy))
    await rolled_out(cluster, 4)
    start = await cluster.client.list(PODS, "default")
    present = {objects.uid(pod): pod for pod in start["items"]}
    seen: list[tuple[int, int]] = []

    async def watch() -> None:
        version = start["metadata"]["resourceVersion"]
        async for event in cluster.client.watch(PODS, "default", resource_version=version):
            if event.type == "BOOKMARK":
                continue
            if event.type == "DELETED":
                present.pop(objects.uid(event.object), None)
            else:
                present[objects.uid(event.object)] = event.object
            active = [pod for pod in present.values() if pods.is_active(pod)]
            seen.append((len(active), sum(1 for pod in active if pods.is_ready(pod))))

    watching = asyncio.create_task(watch())
    await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"template": template("nginx:2")}}, "default")
    await rolled_out(cluster, 4)
    watching.cancel()
    assert seen
    assert max(active for active, _ in seen) <= 5, seen
    assert min(ready for _, ready in seen) >= 3, seen


async def test_recreate_and_a_paused_deployment(cluster: Simulation) -> None:
    client = cluster.client
    await client.create(DEPLOYMENTS, workload("Deployment", replicas=2, strategy={"type": "Recreate"}))
    await rolled_out(cluster, 2)
    await client.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}}, "default")
    await client.patch(DEPLOYMENTS, "web", {"spec": {"template": template("nginx:2"), "replicas": 3}}, "default")
    found = await ready_pods(cluster, 3)
    assert {pod["spec"]["containers"][0]["image"] for pod in found} == {"nginx"}
    await client.patch(DEPLOYMENTS, "web", {"spec": {"paused": None}}, "default")
    await rolled_out(cluster, 3)
    assert {pod["spec"]["containers"][0]["image"] for pod in await ready_pods(cluster, 3)} == {"nginx:2"}


async def test_a_replica_set_that_is_refused_is_named(cluster: Simulation) -> None:
    client, hard = cluster.client, {"count/replicasets.apps": "0"}
    await client.create(RESOURCEQUOTAS, {"metadata": {"name": "none", "namespace": "default"}, "spec": {"hard": hard}})

    async def counted() -> bool:
        found = await client.get(RESOURCEQUOTAS, "none", "default")
        return bool((found.get("status") or {}).get("hard") == hard)

    await cluster.eventually(counted, "the quota")
    await client.create(DEPLOYMENTS, workload("Deployment"))

    async def refused() -> Object | None:
        return pods.condition(await client.get(DEPLOYMENTS, "web", "default"), "Progressing")

    condition = await cluster.eventually(refused, "the condition")
    assert (condition["status"], condition["reason"]) == ("False", "ReplicaSetCreateError")
    name = r"web-[a-z0-9]{8,10}"
    text = (
        rf'Failed to create new replica set "({name})": replicasets\.apps "\1" is forbidden: exceeded quota: none, .*'
    )
    assert re.fullmatch(text, condition["message"])

    async def told() -> bool:
        events = (await client.list(EVENTS, "default", field_selector="reason=ReplicaSetCreateError"))["items"]
        return condition["message"] in [each["message"] for each in events]

    await cluster.eventually(told, "the event")


async def test_orphans_are_adopted_and_released(cluster: Simulation) -> None:
    """`--cascade=orphan` leaves the pods; a new ReplicaSet of the same selector takes them over."""
    client = cluster.client
    await client.create(REPLICASETS, workload("ReplicaSet", replicas=2))
    before = {objects.uid(pod) for pod in await ready_pods(cluster, 2)}
    await client.delete(REPLICASETS, "web", "default", propagation="Orphan")
    await gone(cluster, REPLICASETS, "web")
    assert {objects.uid(pod) for pod in await live_pods(cluster)} == before
    again = await client.create(REPLICASETS, workload("ReplicaSet", replicas=2))

    async def adopted() -> bool:
        owners = [pod["metadata"].get("ownerReferences") or [{}] for pod in await live_pods(cluster)]
        return [o[0].get("uid") for o in owners] == [objects.uid(again)] * 2

    await cluster.eventually(adopted, "both pods adopted")
    assert {objects.uid(pod) for pod in await live_pods(cluster)} == before
    name = objects.name((await live_pods(cluster))[0])
    await client.patch(PODS, name, {"metadata": {"labels": {"app": "debug"}}}, "default")
    await cluster.eventually(lambda: _count(cluster, 3), "a third pod instead of the released one")
    released = await client.get(PODS, name, "default")
    assert not released["metadata"].get("ownerReferences")


async def _count(cluster: Simulation, count: int) -> bool:
    return len(await live_pods(cluster)) == count


async def test_foreground_deletion_waits_for_the_pods(cluster: Simulation) -> None:
    client = cluster.client
    await client.create(DEPLOYMENTS, workload("Deployment", replicas=2))
    held = await ready_pods(cluster, 2)
    await client.patch(PODS, objects.name(held[0]), {"metadata": {"finalizers": ["example.com/hold"]}}, "default")
    await client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")

    async def one_left() -> bool:
        return len((await client.list(PODS, "default"))["items"]) == 1

    await cluster.eventually(one_left, "one pod, held by its finalizer")
    waiting = await client.get(DEPLOYMENTS, "web", "default")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.patch(PODS, objects.name(held[0]), {"metadata": {"finalizers": None}}, "default")
    await gone(cluster, DEPLOYMENTS, "web")


async def test_namespaces_are_furnished_and_emptied(cluster: Simulation) -> None:
    client = cluster.client
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})

    async def furnished() -> bool:
        try:
            await client.get(SERVICEACCOUNTS, "default", "shop")
            published = await client.get(CONFIGMAPS, "kube-root-ca.crt", "shop")
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return bool(published["data"]["ca.crt"] == (cluster.directory / "pki" / "ca.crt").read_text())

    await cluster.eventually(furnished, "ServiceAccount and root CA in the namespace")
    await client.delete(SERVICEACCOUNTS, "default", "shop")
    await cluster.eventually(furnished, "the ServiceAccount made anew")
    deployment = workload("Deployment", replicas=2)
    deployment["metadata"]["namespace"] = "shop"
    await client.create(DEPLOYMENTS, deployment)
    held = {"apiVersion": "v1", "kind": "ConfigMap"}
    held["metadata"] = {"name": "held", "namespace": "shop", "finalizers": ["example.com/hold"]}  # type: ignore[assignment]
    await client.create(CONFIGMAPS, held)
    await client.delete(NAMESPACES, "shop")

    async def says_why() -> bool:
        found = await client.get(NAMESPACES, "shop")
        remaining = pods.condition(found, "NamespaceFinalizersRemaining") or {}
        return "example.com/hold in 1 resource instances" in (remaining.get("message") or "")

    await cluster.eventually(says_why, "the namespace says which finalizer it waits for")
    await client.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, "shop")
    await gone(cluster, NAMESPACES, "shop", None)


async def test_nodes_get_subnets(cluster: Simulation) -> None:
    async def subnets() -> set[str] | None:
        nodes = (await cluster.client.list(NODES))["items"]
        found = {(node.get("spec") or {}).get("podCIDR") for node in nodes}
        return found if None not in found else None

    assert await cluster.eventually(subnets, "a subnet for each node") == {"10.244.0.0/24", "10.244.1.0/24"}


@pytest.mark.parametrize("cluster", [4.0], indirect=True)
async def test_a_node_that_never_spoke_is_left_alone(cluster: Simulation) -> None:
    """Its pods stay ready and it gets no taint that evicts, for as long as its first word may take."""
    client, name = cluster.client, "paper"
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, **template()}
    pod["metadata"] = {"name": name, "namespace": "default"}
    pod["spec"]["nodeName"] = name
    await client.create(PODS, pod)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await client.patch(PODS, name, ready, "default", subresource="status")

    async def registered(node: str) -> bool:
        events = await client.list(EVENTS, field_selector=f"involvedObject.name={node},reason=RegisteredNode")
        return bool(events["items"])

    # A round of the monitor begins with what is new. When it has seen a second newcomer, it has judged the first.
    await cluster.eventually(lambda: registered(name), "the node is seen")
    await cluster.fleet.add("worker-3")
    await cluster.eventually(lambda: registered("worker-3"), "the node after it is seen")
    assert pods.is_ready(await client.get(PODS, name, "default"))
    taints = (await client.get(NODES, name))["spec"].get("taints") or []
    assert "NoExecute" not in [taint["effect"] for taint in taints]


async def test_the_old_labels_of_a_node_repeat_the_new(cluster: Simulation) -> None:
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "amd64"}
    await cluster.client.patch(NODES, "worker-1", {"metadata": {"labels": labels}}, kind="merge")

    async def repeated() -> bool:
        found = objects.labels(await cluster.client.get(NODES, "worker-1"))
        return (found.get("beta.kubernetes.io/os"), found.get("beta.kubernetes.io/arch")) == ("linux", "arm64")

    await cluster.eventually(repeated, "the labels of before 1.14")


@pytest.mark.parametrize("cluster", [4.0], indirect=True)
async def test_pods_leave_a_dead_node_and_nobody_leaves_when_all_are_dead(cluster: Simulation) -> None:
    client, fleet = cluster.client, cluster.fleet
    evictable = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        for key in ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
    ]
    await client.create(DEPLOYMENTS, workload("Deployment", replicas=2, template=template(tolerations=evictable)))
    await ready_pods(cluster, 2)
    evicted = REGISTRY.get_sample_value("node_collector_evictions_total", {"zone": ""}) or 0
    fleet.silent.add("worker-1")

    async def tainted() -> bool:
        node = await client.get(NODES, "worker-1")
        found = {(t["key"], t["effect"]) for t in (node.get("spec") or {}).get("taints") or ()}
        unreachable = "node.kubernetes.io/unreachable"
        return found == {(unreachable, "NoSchedule"), (unreachable, "NoExecute")}

    await cluster.eventually(tainted, "the silent node tainted")

    async def counted() -> bool:
        return (REGISTRY.get_sample_value("node_collector_evictions_total", {"zone": ""}) or 0) == evicted + 1

    await cluster.eventually(counted, "the eviction counted, once")
    ready = pods.condition(await client.get(NODES, "worker-1"), "Ready") or {}
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")

    async def moved() -> bool:
        found = await live_pods(cluster)
        return len(found) == 2 and all(pods.node_name(p) == "worker-2" and pods.is_ready(p) for p in found)

    await cluster.eventually(moved, "both pods on the living node")

    fleet.silent.add("worker-2")

    async def all_unknown() -> bool:
        nodes = (await client.list(NODES))["items"]
        return all((pods.condition(node, "Ready") or {}).get("status") == "Unknown" for node in nodes)

    await cluster.eventually(all_unknown, "both nodes Unknown")

    async def no_eviction_taints() -> bool:
        nodes = (await client.list(NODES))["items"]
        return not any(t["effect"] == "NoExecute" for n in nodes for t in (n.get("spec") or {}).get("taints") or ())

    await cluster.eventually(no_eviction_taints, "no taint that evicts while every node looks dead")
    assert len(await live_pods(cluster)) == 2
    await fleet.revive("worker-2")

    async def well() -> bool:
        node = await client.get(NODES, "worker-2")
        return not (node.get("spec") or {}).get("taints")

    await cluster.eventually(well, "the taints of the revived node gone")


async def test_daemon_pods_follow_the_nodes_and_their_template(cluster: Simulation) -> None:
    client = cluster.client
    await client.create(DAEMONSETS, workload("DaemonSet"))
    assert {pods.node_name(pod) for pod in await ready_pods(cluster, 2)} == {"worker-1", "worker-2"}
    await cluster.fleet.add("worker-3")
    await ready_pods(cluster, 3)
    await client.patch(DAEMONSETS, "web", {"spec": {"template": template("nginx:2")}}, "default")

    async def updated() -> bool:
        found = await client.get(DAEMONSETS, "web", "default")
        status, generation = found.get("status") or {}, found["metadata"]["generation"]
        counts = [status.get(key) for key in ("updatedNumberScheduled", "numberAvailable")]
        return bool(counts == [3, 3] and status.get("observedGeneration") == generation)

    await cluster.eventually(updated, "three updated daemon pods")
    assert {pod["spec"]["containers"][0]["image"] for pod in await ready_pods(cluster, 3)} == {"nginx:2"}
    assert sorted(r["revision"] for r in (await client.list(CONTROLLERREVISIONS, "default"))["items"]) == [1, 2]


async def test_a_daemon_pod_that_goes_slowly_holds_up_no_other_node(cluster: Simulation) -> None:
    client, held = cluster.client, template()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(DAEMONSETS, workload("DaemonSet", template=held))
    await ready_pods(cluster, 2)
    await client.patch(DAEMONSETS, "web", {"spec": {"template": template("nginx:2")}}, "default")
    await cluster.eventually(lambda: _count(cluster, 1), "one pod on its way out")
    await cluster.fleet.add("worker-3")

    async def served() -> bool:
        return "worker-3" in {pods.node_name(pod) for pod in await live_pods(cluster)}

    await cluster.eventually(served, "a pod on the new node")


async def test_a_stateful_set_starts_in_order_and_keeps_names(cluster: Simulation) -> None:
    client = cluster.client
    await client.create(STATEFULSETS, workload("StatefulSet", replicas=3, serviceName="web"))
    found = await ready_pods(cluster, 3)
    by_name = {objects.name(pod): pod for pod in found}
    assert sorted(by_name) == ["web-0", "web-1", "web-2"]
    versions = [int(objects.resource_version(by_name[f"web-{i}"])) for i in range(3)]
    assert versions == sorted(versions)
    await client.delete(PODS, "web-1", "default")

    async def again() -> bool:
        found = await live_pods(cluster)
        names = {objects.name(p): objects.uid(p) for p in found if pods.is_ready(p)}
        return sorted(names) == ["web-0", "web-1", "web-2"] and names["web-1"] != objects.uid(by_name["web-1"])

    await cluster.eventually(again, "web-1 again, another pod of the same name")
    await client.patch(STATEFULSETS, "web", {"spec": {"replicas": 1}}, "default")
    assert [objects.name(pod) for pod in await ready_pods(cluster, 1)] == ["web-0"]


@pytest.mark.parametrize("resource", [STATEFULSETS, DAEMONSETS], ids=lambda resource: resource.kind)
async def test_what_is_made_anew_keeps_pods_and_history(cluster: Simulation, resource: Resource) -> None:
    """`--cascade=orphan`, then the same again: how the claim templates of a StatefulSet are exchanged."""
    client, spec = cluster.client, {"replicas": 2, "serviceName": "web"} if resource is STATEFULSETS else {}
    await client.create(resource, workload(resource.kind, **spec))
    before = {objects.uid(pod) for pod in await ready_pods(cluster, 2)}
    (revision,) = (await client.list(CONTROLLERREVISIONS, "default"))["items"]
    await client.delete(resource, "web", "default", propagation="Orphan")
    await gone(cluster, resource, "web")
    again = await client.create(resource, workload(resource.kind, **spec))
    updated = "updatedReplicas" if resource is STATEFULSETS else "updatedNumberScheduled"

    async def taken_over() -> bool:
        listed = (await client.list(CONTROLLERREVISIONS, "default"))["items"]
        owners = [each["metadata"].get("ownerReferences") or [{}] for each in (*listed, *await live_pods(cluster))]
        status = (await client.get(resource, "web", "default")).get("status") or {}
        return {o[0].get("uid") for o in owners} == {objects.uid(again)} and status.get(updated) == 2

    await cluster.eventually(taken_over, "pods and history with their new owner, and up to date")
    assert {objects.uid(pod) for pod in await live_pods(cluster)} == before
    kept = (await client.list(CONTROLLERREVISIONS, "default"))["items"]
    assert [objects.uid(each) for each in kept] == [objects.uid(revision)]
    assert not ((await client.get(resource, "web", "default"))["status"]).get("collisionCount")


async def test_a_job_counts_each_pod_once(cluster: Simulation) -> None:
    client = cluster.client
    body = template("busybox", restartPolicy="Never")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"completions": 4, "parallelism": 2, "template": body},
    }
    await client.create(JOBS, job)

    async def finished() -> Object | None:
        found = await client.get(JOBS, "work", "default")
        for pod in await live_pods(cluster):
            if pods.phase(pod) == "Running":
                await cluster.fleet.finish(pod, "Succeeded")
        complete = pods.condition(found, "Complete")
        return found if complete and complete["status"] == "True" else None

    found = await cluster.eventually(finished, "the job complete")
    assert found["status"]["succeeded"] == 4
    assert "failed" not in found["status"]
    everyone = (await client.list(PODS, "default"))["items"]
    assert len(everyone) == 4
    assert not any("batch.kubernetes.io/job-tracking" in (p["metadata"].get("finalizers") or ()) for p in everyone)
