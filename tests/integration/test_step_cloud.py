"""`kubelab step` of the cloud controller manager's loops: a turn is shown and nothing done to the machines, then it is
taken. Machines are folders and disks loop devices; routes are kept in a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    CSINODES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    SERVICES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
)
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox, Loop
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta import attachments, objects
from apimachinery.meta.attachments import DISK_DRIVER
from apimachinery.meta.taints import UNINITIALIZED
from controlplane.cloud.config import CloudConfig
from controlplane.cloud.context import Context, Periods
from controlplane.cloud.kubelab.cloud import make_cloud
from controlplane.cloud.provider import Cloud, Route
from controlplane.cloud.wire import run_loops
from provisioner.drivers.lab_disks import unplug_loops
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone

Object = dict[str, Any]

NODE, LIFECYCLE, ROUTE = "cloud-node-controller", "cloud-node-lifecycle-controller", "node-route-controller"


class Listed:
    """Routes that are nowhere but here."""

    def __init__(self) -> None:
        self.there: list[Route] = []

    async def list(self) -> Sequence[Route]:
        return list(self.there)

    async def create(self, route: Route) -> None:
        self.there.append(route)

    async def delete(self, route: Route) -> None:
        self.there.remove(route)


class PausedBox(GlassBox):
    """In which every loop is paused before its first key."""

    def show(self, loops: Iterable[Loop]) -> None:
        held = list(loops)
        for loop in held:
            loop.pause()
        super().show(held)


class Stepped:
    def __init__(self, cluster: Simulation, folder: Path) -> None:
        self.cluster, self.client, self.folder = cluster, cluster.client, folder
        self.box, self.routes = PausedBox(Trace("cloud-controller-manager")), Listed()

    async def tell(self, loop: str, what: str, key: str) -> Any:
        return await self.box.answer("POST", f"loops/{loop}/{what}", {"key": key})

    async def rehearsed(self, loop: str, key: str, *does: str) -> Object:
        """Wait until it would do these: requests as "METHOD path", the rest in words."""

        async def look() -> Object | None:
            told: Object = await self.tell(loop, "rehearse", key)
            return told if [_said(each) for each in told.get("writes") or ()] == [*does] else None

        answer: Object = await self.cluster.eventually(look, f"{loop} would {does}")
        assert answer["picture"]["rows"] and not answer["error"]
        return answer

    async def step(self, loop: str, key: str) -> None:
        async with asyncio.timeout(60):
            # Other controllers write Nodes as well: who loses against them reads what won, and tries again.
            while (outcome := await self.tell(loop, "step", key))["result"] == "conflict":
                pass
        assert (outcome["result"], outcome["error"]) == ("success", "")


def _said(write: Object) -> str:
    return str(write["does"] or f"{write['method']} {write['path']}")


@pytest.fixture
async def stepped(tmp_path: Path) -> AsyncIterator[Stepped]:
    folder = tmp_path / "host"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "made").touch()
    machine = {
        "name": "one", "addresses": ["10.9.0.1"], "zone": "z", "instance_type": "t", "where": str(folder / "one"),
    }  # fmt: skip
    plain = {
        "name": "l", "driver": "netns", "region": "r", "networks": ["10.9.0.0/24"], "pods": ["10.244.0.0/16"],
        "machines": [machine], "loadBalancers": [["10.9.0.200", "10.9.0.201"]],
    }  # fmt: skip
    file = folder / "cloud.json"
    file.write_text(json.dumps(plain))
    async with simulated_cluster(tmp_path / "cp", scheduler=False) as cluster:
        made, real = Stepped(cluster, folder), make_cloud(file)
        cloud = Cloud(real.name, real.instances, made.routes, real.balancers, real.disks)
        config = CloudConfig(client=load_kubeconfig(cluster.directory / "admin.conf"), cloud_config=file)
        async with Client(config.client, "cloud-controller-manager") as client:
            context = Context(client, cloud, SystemClock(), Periods(), ("10.244.0.0/16",))
            running = asyncio.create_task(run_loops(context, config, made.box))

            async def there() -> bool:
                return bool((await made.box.answer("GET", "loops", {}))["leading"])

            try:
                await cluster.eventually(there, "the loops")
                yield made
            finally:
                await cancel_and_wait(running)
                unplug_loops(folder / "volumes")


async def test_nodes_and_routes(stepped: Stepped) -> None:
    client, path = stepped.client, "/api/v1/nodes"
    taint = {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}
    for name in ("one", "lost"):
        await client.create(NODES, {"metadata": {"name": name}, "spec": {"taints": [taint]}})
    told = await stepped.rehearsed(NODE, "one", f"PATCH {path}/one", f"PATCH {path}/one/status")
    assert "Synced" in {event["reason"] for event in told["events"]}
    assert "providerID" not in (await client.get(NODES, "one"))["spec"]
    await stepped.step(NODE, "one")
    node = await client.get(NODES, "one")
    assert node["spec"]["providerID"] == "kubelab://l/one"

    told = await stepped.rehearsed(LIFECYCLE, "nodes", f"PATCH {path}/one", f"DELETE {path}/lost")
    assert ["Node lost", "gone", "there"] in told["picture"]["rows"]
    await client.get(NODES, "lost")
    await stepped.step(LIFECYCLE, "nodes")
    await gone(stepped.cluster, NODES, "lost", None)

    route = Route(node["spec"]["podCIDR"], "10.9.0.1")
    does = f"add the route to {route.destination} via {route.gateway}"
    told = await stepped.rehearsed(ROUTE, "routes", does, f"PATCH {path}/one/status")
    assert [does, "done", "not yet"] in told["picture"]["rows"]
    assert stepped.routes.there == []
    await stepped.step(ROUTE, "routes")
    assert stepped.routes.there == [route]
    await client.delete(NODES, "one")
    await stepped.rehearsed(ROUTE, "routes", f"delete the route to {route.destination} via {route.gateway}")
    assert stepped.routes.there == [route]


async def test_an_address_is_shown_as_often_as_one_likes_and_given_once(stepped: Stepped) -> None:
    client, loop = stepped.client, "service-controller"
    for name in ("first", "second"):
        body = {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
        await client.create(SERVICES, body, "default")
    path = "/api/v1/namespaces/default/services"
    shown = set()
    for name in ("first", "second", "first"):
        told = await stepped.rehearsed(loop, f"default/{name}", f"PATCH {path}/{name}", f"PATCH {path}/{name}/status")
        assert told["events"][0]["reason"] == "EnsuringLoadBalancer"
        shown.add(told["writes"][1]["body"]["status"]["loadBalancer"]["ingress"][0]["ip"])
    assert shown == {"10.9.0.200"}
    await stepped.step(loop, "default/first")
    given = (await client.get(SERVICES, "first", "default"))["status"]["loadBalancer"]["ingress"]
    assert [each["ip"] for each in given] == ["10.9.0.200"]
    told = await stepped.rehearsed(loop, "default/second", f"PATCH {path}/second", f"PATCH {path}/second/status")
    assert told["writes"][1]["body"]["status"]["loadBalancer"]["ingress"][0]["ip"] == "10.9.0.201"


async def test_disks(stepped: Stepped) -> None:
    client, provisioner = stepped.client, "disk-provisioner"
    storage = "/apis/storage.k8s.io/v1"
    await stepped.rehearsed(provisioner, "driver", f"POST {storage}/csidrivers", f"POST {storage}/storageclasses")
    await stepped.step(provisioner, "driver")
    body = {"metadata": {"name": "now"}, "provisioner": DISK_DRIVER, "allowVolumeExpansion": True}
    await client.create(STORAGECLASSES, {**body, "volumeBindingMode": "Immediate"})
    asked: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Mi"}}}
    claim = {"metadata": {"name": "data"}, "spec": {**asked, "storageClassName": "now"}}
    name = f"pvc-{objects.uid(await client.create(PERSISTENTVOLUMECLAIMS, claim, 'default'))}"

    async def asks() -> str | None:
        told = await stepped.tell(provisioner, "rehearse", "claim:default/data")
        return next((each["does"] for each in told["writes"] if each["does"]), None)

    does = await stepped.cluster.eventually(asks, "the claim asks for a disk")
    disk = does.split()[3]
    assert does == f"make the disk {disk} of {8 << 20} bytes, if it is not there"
    volumes = stepped.folder / "volumes"
    assert not list(volumes.glob("*"))
    await stepped.step(provisioner, "claim:default/data")
    assert [each.name for each in volumes.iterdir()] == [f"{disk}.img"]

    driver = {"drivers": [{"name": DISK_DRIVER, "nodeID": "one"}]}
    await client.create(CSINODES, {"metadata": {"name": "one"}, "spec": driver})
    wish = attachments.attachment_name(name, DISK_DRIVER, "one")
    spec = {"attacher": DISK_DRIVER, "nodeName": "one", "source": {"persistentVolumeName": name}}
    await client.create(VOLUMEATTACHMENTS, {"metadata": {"name": wish}, "spec": spec})
    plug, path = f"plug the disk {disk} into one", f"{storage}/volumeattachments/{wish}"
    key = f"attachment:{wish}"
    kept = f"PUT /api/v1/persistentvolumes/{name}", f"PUT {path}"
    await stepped.rehearsed("disk-attacher", key, *kept, plug, f"PATCH {path}/status")
    assert not list(volumes.glob("*.json"))
    await stepped.step("disk-attacher", key)
    assert list(volumes.glob("*.json"))
    await client.delete(VOLUMEATTACHMENTS, wish)
    await stepped.rehearsed("disk-attacher", key, f"pull the disk {disk} out of one", f"PUT {path}")
    assert list(volumes.glob("*.json"))

    async def bound() -> bool:
        found = await client.get(PERSISTENTVOLUMECLAIMS, "data", "default")
        return (found.get("status") or {}).get("phase") == "Bound"

    await stepped.cluster.eventually(bound, "the claim is bound")
    more = {"spec": {"resources": {"requests": {"storage": "16Mi"}}}}
    await client.patch(PERSISTENTVOLUMECLAIMS, "data", more, "default")

    async def grows() -> bool:
        told = await stepped.tell("disk-resizer", "rehearse", "default/data")
        return f"let the disk {disk} grow to {16 << 20} bytes" in [each["does"] for each in told["writes"]]

    await stepped.cluster.eventually(grows, "the disk would grow")
    assert (volumes / f"{disk}.img").stat().st_size == 8 << 20
    await stepped.step("disk-resizer", "default/data")
    assert (volumes / f"{disk}.img").stat().st_size == 16 << 20
    assert (await client.get(PERSISTENTVOLUMES, name))["spec"]["capacity"]["storage"] == "16Mi"
