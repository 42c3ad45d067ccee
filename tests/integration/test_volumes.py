"""Volumes against the real API server, with simulated nodes: binding, provisioning, scheduling, reclaiming."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    EVENTS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    STATEFULSETS,
    STORAGECLASSES,
    Resource,
)
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]
HELPER = "local-path-helper"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path) as simulation:
        simulation.fleet.held = lambda pod: objects.labels(pod).get("app.kubernetes.io/name") == HELPER
        await simulation.fleet.add("worker-1", labels={"zone": "a"})
        await simulation.fleet.add("worker-2", labels={"zone": "b"})
        helpers = asyncio.create_task(succeed_helpers(simulation))
        yield simulation
        helpers.cancel()


async def succeed_helpers(cluster: Simulation) -> None:
    """Be the helper pods: end at once, well."""
    listed = await cluster.client.list(PODS, "kube-system")
    revision = listed["metadata"]["resourceVersion"]
    async for event in cluster.client.watch(PODS, "kube-system", resource_version=revision):
        pod = event.object
        if event.type == "ADDED" and objects.labels(pod).get("app.kubernetes.io/name") == HELPER:
            await cluster.fleet.finish(pod, "Succeeded")


def storage_class(name: str, provisioner: str, mode: str = "WaitForFirstConsumer", **more: Any) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": more.pop("annotations", {})},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        **more,
    }


def local_path(**more: Any) -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    return storage_class("local-path", "kubelab.io/local-path", annotations=annotations, **more)


def volume(name: str, size: str = "1Gi", class_name: str = "", **more: Any) -> Object:
    spec: Object = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": f"/srv/{name}"},
        "storageClassName": class_name,
        **more,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def claim(name: str = "data", size: str = "1Gi", **more: Any) -> Object:
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **more}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def pod_with(claim_name: str, name: str = "app", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [{"name": "main", "image": "nginx"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}],
            "terminationGracePeriodSeconds": 1,
            **spec,
        },
    }


def on(node: str) -> Object:
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}


async def phase(cluster: Simulation, resource: Resource, name: str, wanted: str) -> Object:
    namespace = "default" if resource.namespaced else None

    async def look() -> Object | None:
        try:
            found = await cluster.client.get(resource, name, namespace)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return found if (found.get("status") or {}).get("phase") == wanted else None

    found: Object = await cluster.eventually(look, f"{resource.kind} {name} {wanted}")
    return found


async def gone(cluster: Simulation, resource: Resource, name: str) -> None:
    async def look() -> bool:
        try:
            await cluster.client.get(resource, name, "default" if resource.namespaced else None)
        except ApiError as error:
            if is_not_found(error):
                return True
            raise
        return False

    await cluster.eventually(look, f"{resource.kind} {name} gone")


async def said(cluster: Simulation, name: str, reason: str, text: str = "") -> Object:
    async def look() -> Object | None:
        for event in (await cluster.client.list(EVENTS))["items"]:
            if (event["involvedObject"]["name"], event["reason"]) == (name, reason) and text in event["message"]:
                return dict(event)
        return None

    found: Object = await cluster.eventually(look, f"event {reason} on {name}: {text}")
    return found


async def bound_pod(cluster: Simulation, name: str) -> Object:
    async def look() -> Object | None:
        found = await cluster.client.get(PODS, name, "default")
        return found if pods.node_name(found) else None

    found: Object = await cluster.eventually(look, f"pod {name} on a node")
    return found


async def test_the_smallest_volume_that_suffices_is_bound_and_released(cluster: Simulation) -> None:
    for name, size in (("small", "500Mi"), ("big", "10Gi"), ("fits", "2Gi")):
        await cluster.client.create(PERSISTENTVOLUMES, volume(name, size))
    for name in ("small", "big", "fits"):
        await phase(cluster, PERSISTENTVOLUMES, name, "Available")  # the binder has seen it
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName=""))
    got = await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Bound")
    assert got["spec"]["volumeName"] == "fits"
    assert got["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
    assert objects.annotations(got) == {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
    }
    bound = await phase(cluster, PERSISTENTVOLUMES, "fits", "Bound")
    assert bound["spec"]["claimRef"]["uid"] == objects.uid(got)
    assert objects.annotations(bound) == {"pv.kubernetes.io/bound-by-controller": "yes"}
    await cluster.client.delete(PERSISTENTVOLUMECLAIMS, "data", "default")
    await phase(cluster, PERSISTENTVOLUMES, "fits", "Released")  # Retain: kept, and nobody else's
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim("other", storageClassName=""))
    assert (await phase(cluster, PERSISTENTVOLUMECLAIMS, "other", "Bound"))["spec"]["volumeName"] == "big"


async def test_a_claim_waits_says_why_and_takes_what_comes(cluster: Simulation) -> None:
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName=""))
    text = "no persistent volumes available for this claim and no storage class is set"
    event = await said(cluster, "data", "FailedBinding", text)
    assert (event["type"], event["source"]["component"]) == ("Normal", "persistentvolume-controller")
    await cluster.client.create(PODS, pod_with("data"))
    await said(cluster, "app", "FailedScheduling", "pod has unbound immediate PersistentVolumeClaims. preemption:")
    await cluster.client.create(PERSISTENTVOLUMES, volume("late", nodeAffinity=on("worker-2")))
    await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Bound")
    assert pods.node_name(await bound_pod(cluster, "app")) == "worker-2"


async def test_a_volume_lost_and_a_claim_lost(cluster: Simulation) -> None:
    await cluster.client.create(PERSISTENTVOLUMES, volume("only", persistentVolumeReclaimPolicy="Delete"))
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName=""))
    await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Bound")
    await cluster.client.patch(PERSISTENTVOLUMES, "only", {"metadata": {"finalizers": None}})
    await cluster.client.delete(PERSISTENTVOLUMES, "only")
    try:
        held = await cluster.client.get(PERSISTENTVOLUMES, "only")
        await cluster.client.patch(PERSISTENTVOLUMES, "only", {"metadata": {"finalizers": None}})
        assert objects.is_deleting(held)
    except ApiError as error:
        assert is_not_found(error)
    await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Lost")
    text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    assert (await said(cluster, "data", "ClaimLost"))["message"] == text
    await cluster.client.create(PERSISTENTVOLUMES, volume("two", persistentVolumeReclaimPolicy="Delete"))
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim("second", storageClassName=""))
    await phase(cluster, PERSISTENTVOLUMECLAIMS, "second", "Bound")
    await cluster.client.delete(PERSISTENTVOLUMECLAIMS, "second", "default")
    await phase(cluster, PERSISTENTVOLUMES, "two", "Failed")
    text = "host_path deleter only supports /tmp/.+ but received provided /srv/two"
    await said(cluster, "two", "VolumeFailedDelete", text)


async def test_local_path_from_a_claim_to_a_directory_and_back(cluster: Simulation) -> None:
    await cluster.client.create(STORAGECLASSES, local_path())
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim())
    await said(cluster, "data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    await cluster.client.create(PODS, pod_with("data"))
    node = pods.node_name(await bound_pod(cluster, "app"))
    got = await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Bound")
    assert objects.annotations(got)["volume.kubernetes.io/selected-node"] == node
    assert objects.annotations(got)["volume.kubernetes.io/storage-provisioner"] == "kubelab.io/local-path"
    made = await phase(cluster, PERSISTENTVOLUMES, f"pvc-{objects.uid(got)}", "Bound")
    assert made["spec"]["local"]["path"] == f"/opt/local-path-provisioner/pvc-{objects.uid(got)}_default_data"
    assert made["spec"]["nodeAffinity"] == on(node)
    await said(cluster, "data", "ProvisioningSucceeded", f"Successfully provisioned volume pvc-{objects.uid(got)}")
    config = cluster.directory / "admin.conf"
    argv = ["kubectl", f"--kubeconfig={config}", "get", "pv,pvc,sc"]
    shown = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)
    assert "kubelab.io/local-path" in shown.stdout and "local-path (default)" in shown.stdout
    await cluster.client.delete(PODS, "app", "default")
    await gone(cluster, PODS, "app")
    again = pod_with("data", "again", nodeSelector={"kubernetes.io/hostname": _other(node)})
    await cluster.client.create(PODS, again)
    await said(cluster, "again", "FailedScheduling", "1 node(s) had volume node affinity conflict")
    await cluster.client.delete(PODS, "again", "default")
    await cluster.client.delete(PERSISTENTVOLUMECLAIMS, "data", "default")
    await gone(cluster, PERSISTENTVOLUMES, objects.name(made))

    async def no_helpers() -> bool:
        return not (await cluster.client.list(PODS, "kube-system"))["items"]

    await cluster.eventually(no_helpers, "helper pods gone")


def _other(node: str) -> str:
    return "worker-2" if node == "worker-1" else "worker-1"


async def test_a_prepared_volume_comes_before_a_new_one_and_binds_near_the_pod(cluster: Simulation) -> None:
    await cluster.client.create(STORAGECLASSES, storage_class("disks", "kubernetes.io/no-provisioner"))
    for number in (1, 2):
        affinity = on(f"worker-{number}")
        await cluster.client.create(PERSISTENTVOLUMES, volume(f"disk-{number}", "5Gi", "disks", nodeAffinity=affinity))
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="disks"))
    await cluster.client.create(PODS, pod_with("data", nodeSelector={"zone": "b"}))
    assert pods.node_name(await bound_pod(cluster, "app")) == "worker-2"
    got = await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Bound")
    assert got["spec"]["volumeName"] == "disk-2"
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim("more", storageClassName="disks"))
    await cluster.client.create(PODS, pod_with("more", "late", nodeSelector={"zone": "b"}))
    text = "1 node(s) didn't find available persistent volumes to bind"
    await said(cluster, "late", "FailedScheduling", text)
    await cluster.client.create(PERSISTENTVOLUMES, volume("disk-3", "5Gi", "disks", nodeAffinity=on("worker-2")))
    await bound_pod(cluster, "late")


async def test_refusals_of_the_whole_pod(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod_with("nothing", "a"))
    text = '0/2 nodes are available: persistentvolumeclaim "nothing" not found. preemption:'
    await said(cluster, "a", "FailedScheduling", text)
    await cluster.client.create(PERSISTENTVOLUMES, volume("one", accessModes=["ReadWriteOncePod"]))
    alone = claim(storageClassName="", accessModes=["ReadWriteOncePod"])
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, alone)
    await cluster.client.create(PODS, pod_with("data", "first"))
    await bound_pod(cluster, "first")
    await cluster.client.create(PODS, pod_with("data", "second"))
    text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    await said(cluster, "second", "FailedScheduling", text)
    await cluster.client.delete(PODS, "first", "default")
    await bound_pod(cluster, "second")


async def test_a_default_class_that_comes_later_is_given(cluster: Simulation) -> None:
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim())
    await said(cluster, "data", "FailedBinding")
    await cluster.client.create(STORAGECLASSES, local_path())

    async def given() -> bool:
        found = await cluster.client.get(PERSISTENTVOLUMECLAIMS, "data", "default")
        return bool(found["spec"].get("storageClassName") == "local-path")

    await cluster.eventually(given, "the default class")


async def test_ephemeral_volumes_live_as_long_as_their_pod(cluster: Simulation) -> None:
    await cluster.client.create(STORAGECLASSES, local_path())
    template = {"metadata": {"labels": {"of": "app"}}, "spec": claim()["spec"]}
    pod = pod_with("x", volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    await cluster.client.create(PODS, pod)
    await bound_pod(cluster, "app")
    made = await phase(cluster, PERSISTENTVOLUMECLAIMS, "app-scratch", "Bound")
    assert objects.labels(made) == {"of": "app"}
    await cluster.client.delete(PODS, "app", "default")
    await gone(cluster, PERSISTENTVOLUMECLAIMS, "app-scratch")
    await gone(cluster, PERSISTENTVOLUMES, made["spec"]["volumeName"])


async def test_a_claim_that_an_ephemeral_volume_would_need_is_another_owners(cluster: Simulation) -> None:
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim("app-scratch"))
    template = {"spec": claim()["spec"]}
    pod = pod_with("x", volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    await cluster.client.create(PODS, pod)
    why = "PVC default/app-scratch was not created for pod default/app (pod is not owner)"
    await said(cluster, "app", "FailedBinding", f"ephemeral volume scratch: {why}")


async def test_what_nobody_here_expands_is_told(cluster: Simulation) -> None:
    await cluster.client.create(STORAGECLASSES, storage_class("grows", "x/y", "Immediate", allowVolumeExpansion=True))
    await cluster.client.create(PERSISTENTVOLUMES, volume("pv", class_name="grows"))
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="grows"))
    await phase(cluster, PERSISTENTVOLUMECLAIMS, "data", "Bound")
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    await cluster.client.patch(PERSISTENTVOLUMECLAIMS, "data", more, "default")
    await said(cluster, "data", "ExternalExpanding", "waiting for an external controller to expand this PVC")


async def test_a_node_that_goes_is_chosen_anew(cluster: Simulation) -> None:
    await cluster.client.create(STORAGECLASSES, local_path())
    wanted = claim()
    wanted["metadata"]["annotations"] = {"volume.kubernetes.io/selected-node": "nowhere"}
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, wanted)
    await cluster.client.create(PODS, pod_with("data"))
    node = pods.node_name(await bound_pod(cluster, "app"))
    assert node in {objects.name(each) for each in (await cluster.client.list(NODES))["items"]}


async def test_a_stateful_set_keeps_and_drops_its_claims(cluster: Simulation) -> None:
    await cluster.client.create(STORAGECLASSES, local_path())
    spec = {
        "replicas": 2,
        "serviceName": "web",
        "selector": {"matchLabels": {"app": "web"}},
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Delete"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim()["spec"]}],
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "nginx"}], "terminationGracePeriodSeconds": 1},
        },
    }
    metadata = {"name": "web", "namespace": "default"}
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
    await cluster.client.create(STATEFULSETS, body)
    first = await phase(cluster, PERSISTENTVOLUMECLAIMS, "data-web-0", "Bound")
    await phase(cluster, PERSISTENTVOLUMECLAIMS, "data-web-1", "Bound")
    await phase(cluster, PODS, "web-1", "Running")
    await cluster.client.delete(PODS, "web-0", "default")

    async def replaced() -> bool:
        try:
            found = await cluster.client.get(PODS, "web-0", "default")
        except ApiError:
            return False
        return pods.phase(found) == "Running" and not objects.is_deleting(found)

    await cluster.eventually(replaced, "web-0 again")
    kept = await cluster.client.get(PERSISTENTVOLUMECLAIMS, "data-web-0", "default")
    assert objects.uid(kept) == objects.uid(first)
    await cluster.client.patch(STATEFULSETS, "web", {"spec": {"replicas": 1}}, "default")
    await gone(cluster, PERSISTENTVOLUMECLAIMS, "data-web-1")
    assert not objects.is_deleting(await cluster.client.get(PERSISTENTVOLUMECLAIMS, "data-web-0", "default"))
    await cluster.client.delete(STATEFULSETS, "web", "default")
    await gone(cluster, PERSISTENTVOLUMECLAIMS, "data-web-0")
    await gone(cluster, PERSISTENTVOLUMES, first["spec"]["volumeName"])


async def test_a_pod_of_a_stateful_set_gets_its_claim_anew(cluster: Simulation) -> None:
    client = cluster.client
    spec = {
        "serviceName": "web",
        "selector": {"matchLabels": {"app": "web"}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {**claim()["spec"], "storageClassName": ""}}],
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}},
    }
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "default"}}
    await client.create(STATEFULSETS, {**body, "spec": spec})
    pod = await phase(cluster, PODS, "web-0", "Pending")
    first = await phase(cluster, PERSISTENTVOLUMECLAIMS, "data-web-0", "Pending")

    async def another(resource: Resource, name: str, than: Object) -> Object | None:
        found = [each for each in (await client.list(resource, "default"))["items"] if objects.name(each) == name]
        return found[0] if found and objects.uid(found[0]) != objects.uid(than) else None

    await client.delete(PERSISTENTVOLUMECLAIMS, "data-web-0", "default")
    second = await cluster.eventually(
        lambda: another(PERSISTENTVOLUMECLAIMS, "data-web-0", first), "another claim for the pod that waits"
    )
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await client.patch(PERSISTENTVOLUMECLAIMS, "data-web-0", held, "default")
    await client.delete(PERSISTENTVOLUMECLAIMS, "data-web-0", "default")
    await client.delete(PODS, "web-0", "default")
    text = "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"

    async def told() -> bool:
        return text in [each["message"] for each in (await client.list(EVENTS, "default"))["items"]]

    await cluster.eventually(told, "what the pod waits for")
    await client.patch(PERSISTENTVOLUMECLAIMS, "data-web-0", {"metadata": {"finalizers": None}}, "default")
    await cluster.eventually(lambda: another(PERSISTENTVOLUMECLAIMS, "data-web-0", second), "a third claim")
    await cluster.eventually(lambda: another(PODS, "web-0", pod), "another pod")
