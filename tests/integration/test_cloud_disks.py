"""Claims, volumes and VolumeAttachments of disk.kubelab.io: the real loops, API server and loop devices, no node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    CSIDRIVERS,
    CSINODES,
    EVENTS,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
    Resource,
)
from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import attachments, objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.cloud.config import CloudConfig
from controlplane.cloud.wire import build
from provisioner.drivers.lab_disks import unplug_loops
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]
LONG = 90.0
DRIVER = "disk.kubelab.io"


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Where the files of disks are."""
    return tmp_path / "host" / "volumes"


@pytest.fixture
async def cluster(tmp_path: Path, volumes: Path) -> AsyncIterator[Simulation]:
    volumes.parent.mkdir()
    machine = {"name": "worker", "addresses": ["10.9.0.1"], "zone": "z", "instance_type": "t", "where": str(tmp_path)}
    plain = {
        "name": "l",
        "driver": "netns",
        "region": "r",
        "networks": ["10.9.0.0/24"],
        "pods": [],
        "machines": [machine],
    }
    config = volumes.parent / "cloud.json"
    config.write_text(json.dumps(plain))
    async with simulated_cluster(tmp_path, scheduler=False) as simulation:
        client = load_kubeconfig(simulation.directory / "admin.conf")
        names = ("disk-provisioner", "disk-attacher", "disk-resizer")
        cloud = build(CloudConfig(client=client, cloud_config=config, controllers=names))
        task: asyncio.Task[object] = asyncio.ensure_future(cloud.run(asyncio.Event()))
        try:
            yield simulation
        finally:
            await cancel_and_wait(task)
            unplug_loops(volumes)


async def found(cluster: Simulation, resource: Resource, name: str) -> Object | None:
    try:
        return await cluster.client.get(resource, name, "default" if resource.namespaced else None)
    except ApiError as error:
        if is_not_found(error):
            return None
        raise


async def has(cluster: Simulation, resource: Resource, name: str, what: str, **status: Any) -> Object:
    """The object once its status has these."""

    async def look() -> Object | None:
        obj = await found(cluster, resource, name)
        return obj if obj is not None and status.items() <= (obj.get("status") or {}).items() else None

    answer: Object = await cluster.eventually(look, what, LONG)
    return answer


async def gone(cluster: Simulation, resource: Resource, name: str) -> None:
    async def look() -> bool:
        return await found(cluster, resource, name) is None

    await cluster.eventually(look, f"{resource.kind} {name} gone", LONG)


async def said(cluster: Simulation, name: str, reason: str, text: str) -> None:
    async def look() -> bool:
        events = (await cluster.client.list(EVENTS))["items"]
        told = [
            each["message"] for each in events if (each["involvedObject"]["name"], each["reason"]) == (name, reason)
        ]
        return any(text in each for each in told)

    await cluster.eventually(look, f"{reason} on {name}: {text}", LONG)


async def make_claim(cluster: Simulation, name: str, class_name: str = "now", **more: Any) -> None:
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Mi"}}, **more}
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    await cluster.client.create(PERSISTENTVOLUMECLAIMS, {**body, "spec": {**spec, "storageClassName": class_name}})


async def make_class(cluster: Simulation, name: str, **more: Any) -> None:
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
    mode = {"volumeBindingMode": "Immediate", "allowVolumeExpansion": True}
    await cluster.client.create(STORAGECLASSES, {**body, "provisioner": DRIVER, **mode, **more})


async def attach(cluster: Simulation, volume: str, node: str) -> str:
    """Ask for the volume on the node; returns the name of the VolumeAttachment."""
    name = attachments.attachment_name(volume, DRIVER, node)
    spec = {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": volume}}
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name}, "spec": spec}
    await cluster.client.create(VOLUMEATTACHMENTS, body)
    return name


async def register(cluster: Simulation, node: str) -> None:
    spec = {"drivers": [{"name": DRIVER, "nodeID": node}]}
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node}, "spec": spec}
    await cluster.client.create(CSINODES, body)


async def test_a_disk_from_its_claim_to_its_end(cluster: Simulation, volumes: Path) -> None:
    await make_class(cluster, "now")
    await make_claim(cluster, "data")
    claim = await has(cluster, PERSISTENTVOLUMECLAIMS, "data", "a bound claim", phase="Bound")
    name = claim["spec"]["volumeName"]
    volume = await found(cluster, PERSISTENTVOLUMES, name)
    assert volume is not None
    (image,) = volumes.iterdir()
    assert image.name == f"{volume['spec']['csi']['volumeHandle']}.img" and image.stat().st_size == 8 << 20
    driver = await found(cluster, CSIDRIVERS, DRIVER)
    assert driver is not None and driver["spec"]["attachRequired"] is True
    # Nobody has registered on the node yet; then the disk is plugged in without anybody's asking again.
    wish = await attach(cluster, name, "worker")

    async def refused() -> bool:
        shown = (await cluster.client.get(VOLUMEATTACHMENTS, wish)).get("status") or {}
        message = (shown.get("attachError") or {}).get("message")
        return bool(message == 'csinode.storage.k8s.io "worker" not found' and shown["attached"] is False)

    await cluster.eventually(refused, "a refusal", LONG)
    await register(cluster, "worker")
    attached = await has(cluster, VOLUMEATTACHMENTS, wish, "attached", attached=True)
    assert "attachError" not in attached["status"]
    device = Path(attached["status"]["attachmentMetadata"]["devicePath"])
    assert Path(f"/sys/block/{device.name}/loop/backing_file").read_text().strip() == str(image)
    # It grows while it is plugged in; the file system on it would be the node's.
    grown = {"spec": {"resources": {"requests": {"storage": "16Mi"}}}}
    await cluster.client.patch(PERSISTENTVOLUMECLAIMS, "data", grown, "default")
    await said(cluster, "data", "Resizing", f"External resizer is resizing volume {name}")
    await said(cluster, "data", "FileSystemResizeRequired", "Require file system resize of volume on node")
    statuses = {"storage": "NodeResizePending"}
    shown = await has(cluster, PERSISTENTVOLUMECLAIMS, "data", "pending", allocatedResourceStatuses=statuses)
    assert shown["status"]["capacity"] == {"storage": "8Mi"}
    assert int(Path(f"/sys/block/{device.name}/size").read_text()) * 512 == 16 << 20
    # While it is attached, it is not removed.
    await cluster.client.delete(PERSISTENTVOLUMECLAIMS, "data", "default")
    await said(cluster, name, "VolumeFailedDelete", f"persistentvolume {name} is still attached to node worker")
    assert image.exists()
    await cluster.client.delete(VOLUMEATTACHMENTS, wish)
    await gone(cluster, VOLUMEATTACHMENTS, wish)
    await gone(cluster, PERSISTENTVOLUMES, name)
    assert list(volumes.iterdir()) == []


async def test_what_is_retained_and_what_is_refused(cluster: Simulation, volumes: Path) -> None:
    await make_class(cluster, "now")
    await make_class(cluster, "kept", reclaimPolicy="Retain")
    await make_claim(cluster, "kept", "kept", volumeMode="Block")
    claim = await has(cluster, PERSISTENTVOLUMECLAIMS, "kept", "a bound claim", phase="Bound")
    name = claim["spec"]["volumeName"]
    # A raw device is done when the disk has grown.
    grown = {"spec": {"resources": {"requests": {"storage": "16Mi"}}}}
    await cluster.client.patch(PERSISTENTVOLUMECLAIMS, "kept", grown, "default")
    await has(cluster, PERSISTENTVOLUMECLAIMS, "kept", "grown", capacity={"storage": "16Mi"})
    await cluster.client.delete(PERSISTENTVOLUMECLAIMS, "kept", "default")
    await has(cluster, PERSISTENTVOLUMES, name, "released", phase="Released")
    await cluster.client.delete(PERSISTENTVOLUMES, name)
    await gone(cluster, PERSISTENTVOLUMES, name)
    assert [each.stat().st_size for each in volumes.iterdir()] == [16 << 20]
    await make_claim(cluster, "shared", accessModes=["ReadWriteMany"])
    text = 'failed to provision volume with StorageClass "now": a disk is for one node at a time'
    await said(cluster, "shared", "ProvisioningFailed", text)
    await make_claim(cluster, "vast", resources={"requests": {"storage": "4Ei"}})
    await said(cluster, "vast", "ProvisioningFailed", 'failed to provision volume with StorageClass "now": disk vol-')
    assert len(list(volumes.iterdir())) == 1
    assert objects.name(await cluster.client.get(STORAGECLASSES, "disk")) == "disk"
