"""Volumes follow their pods from node to node: the real controllers and API server, a simulated driver and kubelets."""

from __future__ import annotations

import asyncio
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
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VOLUMEATTACHMENTS,
)
from apimachinery.client.rest import Client
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import attachments, objects, taints
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers import attach_detach
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]
DRIVER, LONG = "disk.example.com", 90.0
UNIQUE = f"kubernetes.io/csi/{DRIVER}^vol-1"


class Driver:
    """An external attacher that does as it is told. broken: what it says instead."""

    def __init__(self, client: Client) -> None:
        self._client, self.broken = client, ""

    async def run(self) -> None:
        listed = await self._client.list(VOLUMEATTACHMENTS)
        revision = listed["metadata"]["resourceVersion"]
        async for event in self._client.watch(VOLUMEATTACHMENTS, resource_version=revision):
            if event.type != "DELETED" and event.object["spec"]["attacher"] == DRIVER:
                await self._answer(event.object)

    async def _answer(self, attachment: Object) -> None:
        status: Object = {"attached": True, "attachmentMetadata": {"devicePath": "/dev/x"}}
        if self.broken:
            status = {"attached": False, "attachError": {"time": "2025-01-01T00:00:00Z", "message": self.broken}}
        if (attachment.get("status") or {"attached": False}) != status:
            try:
                await self._client.patch(
                    VOLUMEATTACHMENTS, objects.name(attachment), {"status": status}, subresource="status"
                )
            except ApiError as error:
                if not is_not_found(error):  # detached meanwhile
                    raise


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path, scheduler=False) as simulation:
        for name in ("worker-1", "worker-2"):
            await simulation.fleet.add(name)
            managed = {"metadata": {"annotations": {attachments.MANAGED: "true"}}}
            await simulation.client.patch(NODES, name, managed)
        yield simulation


@pytest.fixture
async def driver(cluster: Simulation) -> AsyncIterator[Driver]:
    found = Driver(cluster.client)
    task = asyncio.create_task(found.run())
    yield found
    await cancel_and_wait(task)


async def bound_volume(cluster: Simulation, *modes: str) -> None:
    """A volume `pv` of the driver, bound to the claim `data`."""
    common: Object = {"accessModes": [*modes], "storageClassName": ""}
    csi = {"driver": DRIVER, "volumeHandle": "vol-1"}
    spec = {**common, "capacity": {"storage": "1Gi"}, "csi": csi, "claimRef": {"namespace": "default", "name": "data"}}
    await cluster.client.create(
        PERSISTENTVOLUMES,
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": spec},
    )
    metadata = {"name": "data", "namespace": "default"}
    asked = {**common, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "pv"}
    await cluster.client.create(
        PERSISTENTVOLUMECLAIMS,
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": asked},
    )


async def start(cluster: Simulation, name: str, node: str) -> None:
    """A pod with the claim, on a node."""
    spec = {
        "nodeName": node,
        "containers": [{"name": "main", "image": "nginx"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "terminationGracePeriodSeconds": 1,
    }
    metadata = {"name": name, "namespace": "default"}
    await cluster.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def attachment_on(node: str) -> str:
    return attachments.attachment_name("vol-1", DRIVER, node)


async def attached_to(cluster: Simulation, *nodes: str) -> None:
    """Wait until the nodes that are told that they have the volume, and have it, are just these."""
    told: Object = {}

    async def look() -> bool:
        told.clear()
        for node in (await cluster.client.list(NODES))["items"]:
            if found := (node.get("status") or {}).get("volumesAttached"):
                told[objects.name(node)] = found
        held = {each["spec"]["nodeName"] for each in (await cluster.client.list(VOLUMEATTACHMENTS))["items"]}
        return set(told) == held == {*nodes}

    await cluster.eventually(look, f"the volume on {nodes}", LONG)
    for node in nodes:
        assert told[node] == [{"name": UNIQUE, "devicePath": attachment_on(node)}]


async def said(cluster: Simulation, name: str, reason: str, text: str) -> None:
    async def look() -> bool:
        events = (await cluster.client.list(EVENTS))["items"]
        return any(
            (each["involvedObject"]["name"], each["reason"], each["message"]) == (name, reason, text)
            and each["source"]["component"] == "attachdetach-controller"
            for each in events
        )

    await cluster.eventually(look, f"{reason} on {name}: {text}", LONG)


async def in_use(cluster: Simulation, node: str, *names: str) -> None:
    """Be the kubelet that says what it has mounted."""
    await cluster.client.patch(NODES, node, {"status": {"volumesInUse": [*names]}}, subresource="status")


async def test_a_volume_follows_its_pod(cluster: Simulation, driver: Driver) -> None:
    await bound_volume(cluster, "ReadWriteOnce")
    await start(cluster, "first", "worker-1")
    await attached_to(cluster, "worker-1")
    await said(cluster, "first", "SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "pv" ')
    await in_use(cluster, "worker-1", UNIQUE)
    await start(cluster, "second", "worker-2")
    text = 'Multi-Attach error for volume "pv" Volume is already used by pod(s) first'
    await said(cluster, "second", "FailedAttachVolume", text)
    await cluster.client.delete(PODS, "first", "default")
    await start(cluster, "third", "worker-2")

    async def waits() -> bool:
        events = (await cluster.client.list(EVENTS))["items"]
        return any(each["involvedObject"]["name"] == "third" and "Multi-Attach" in each["message"] for each in events)

    await cluster.eventually(waits, "the third waits", LONG)
    # The first pod goes, and the node has its volume mounted still.
    assert await cluster.client.get(VOLUMEATTACHMENTS, attachment_on("worker-1"))
    await in_use(cluster, "worker-1")
    await attached_to(cluster, "worker-2")
    await said(cluster, "second", "SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "pv" ')


async def test_many_may_have_it(cluster: Simulation, driver: Driver) -> None:
    await bound_volume(cluster, "ReadWriteMany")
    await start(cluster, "first", "worker-1")
    await start(cluster, "second", "worker-2")
    await attached_to(cluster, "worker-1", "worker-2")
    await cluster.client.delete(PODS, "first", "default")
    await attached_to(cluster, "worker-2")


async def test_a_driver_that_is_not_there_and_one_that_fails(
    cluster: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach_detach, "ATTACH_TIMEOUT", 0.5)
    await bound_volume(cluster, "ReadWriteOnce")
    await start(cluster, "first", "worker-1")
    failed = 'AttachVolume.Attach failed for volume "pv" : '
    why = f"timed out waiting for external-attacher of {DRIVER} CSI driver to attach volume vol-1"
    await said(cluster, "first", "FailedAttachVolume", failed + why)
    driver = Driver(cluster.client)
    driver.broken = "rpc error: code = NotFound desc = no such disk"
    task = asyncio.create_task(driver.run())
    # It hears of what is wished for after it has come.
    await cluster.client.delete(PODS, "first", "default")
    await attached_to(cluster)
    await start(cluster, "second", "worker-2")
    await said(cluster, "second", "FailedAttachVolume", failed + driver.broken)
    await cancel_and_wait(task)


async def test_what_the_api_refuses_is_told_to_the_pod(cluster: Simulation) -> None:
    rule = {"apiGroups": ["storage.k8s.io"], "apiVersions": ["*"], "resources": ["volumeattachments"]}
    spec: Object = {
        "matchConstraints": {"resourceRules": [{**rule, "operations": ["CREATE"]}]},
        "validations": [{"expression": "false", "message": "no disks today"}],
    }
    await cluster.client.create(VALIDATINGADMISSIONPOLICIES, {"metadata": {"name": "none"}, "spec": spec})
    binding = {"policyName": "none", "validationActions": ["Deny"]}
    await cluster.client.create(VALIDATINGADMISSIONPOLICYBINDINGS, {"metadata": {"name": "none"}, "spec": binding})
    wish = {"attacher": "other", "nodeName": "worker-1", "source": {"persistentVolumeName": "x"}}

    async def refused() -> bool:
        try:
            made = await cluster.client.create(VOLUMEATTACHMENTS, {"metadata": {"generateName": "a"}, "spec": wish})
        except ApiError as error:
            return "no disks today" in error.message
        await cluster.client.delete(VOLUMEATTACHMENTS, objects.name(made))
        return False

    await cluster.eventually(refused, "the policy holds", LONG)
    await bound_volume(cluster, "ReadWriteOnce")
    await start(cluster, "first", "worker-1")
    failed = 'AttachVolume.Attach failed for volume "pv" : kubernetes.io/csi: attacher.Attach failed: '
    name = attachment_on("worker-1")
    failed += (
        f"volumeattachments.storage.k8s.io \"{name}\" is forbidden: ValidatingAdmissionPolicy 'none' with binding "
    )
    await said(cluster, "first", "FailedAttachVolume", failed + "'none' denied request: no disks today")


async def test_out_of_service_tears_it_away(cluster: Simulation, driver: Driver) -> None:
    await bound_volume(cluster, "ReadWriteOnce")
    await start(cluster, "first", "worker-1")
    await attached_to(cluster, "worker-1")
    await in_use(cluster, "worker-1", UNIQUE)
    cluster.fleet.silent.add("worker-1")
    await cluster.client.delete(PODS, "first", "default", grace_period=0)

    async def gone() -> bool:
        try:
            await cluster.client.get(PODS, "first", "default")
        except ApiError as error:
            return is_not_found(error)
        return False

    await cluster.eventually(gone, "the pod gone", LONG)
    await start(cluster, "second", "worker-2")
    assert await cluster.client.get(VOLUMEATTACHMENTS, attachment_on("worker-1"))
    taint = {"key": taints.OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
    await cluster.client.patch(NODES, "worker-1", {"spec": {"taints": [taint]}})
    await attached_to(cluster, "worker-2")


async def test_what_somebody_else_made_is_his(cluster: Simulation) -> None:
    """Of two VolumeAttachments that no pod needs only the one with a controller's name goes."""
    await bound_volume(cluster, "ReadWriteOnce")
    spec = {"attacher": DRIVER, "nodeName": "worker-1", "source": {"persistentVolumeName": "pv"}}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment"}
    for name in ("by-hand", attachment_on("worker-1")):
        await cluster.client.create(VOLUMEATTACHMENTS, {**kind, "metadata": {"name": name}, "spec": spec})

    async def gone() -> bool:
        held = (await cluster.client.list(VOLUMEATTACHMENTS))["items"]
        return [objects.name(each) for each in held] == ["by-hand"]

    await cluster.eventually(gone, "one VolumeAttachment gone", LONG)
