"""The cloud controller manager against a real API server. The machines are folders, as the netns driver leaves them;
what runs on them is a process of this test."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import ENDPOINTSLICES, EVENTS, LEASES, NODES, SERVICES
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.controller import local_door
from apimachinery.kit.started import started_at
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.cloud import ANNOUNCED_BY
from apimachinery.meta.status import ApiError, is_not_found
from apimachinery.meta.taints import SHUTDOWN, UNINITIALIZED
from controlplane.cloud.config import CloudConfig
from controlplane.cloud.context import Periods
from controlplane.cloud.service_plan import FINALIZER
from controlplane.cloud.wire import build
from tests.integration.process import ROOT
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]

PATIENCE = 90.0
TAINT = {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}
NAMES = ("one", "two")


class Machines:
    """The lab: folders and its configuration."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self._directory, self._process = directory, process
        self.config = directory / "cloud.json"
        for name in NAMES:
            (directory / name).mkdir()
            (directory / name / "made").touch()
            self.on(name)
        machines = [
            {
                "name": name,
                "addresses": [f"10.9.0.{number}"],
                "zone": f"lab-{name}",
                "instance_type": "tiny",
                "where": str(directory / name),
            }
            for number, name in enumerate(NAMES, 21)
        ]
        plain = {
            "name": "lab", "driver": "netns", "region": "here", "networks": ["10.9.0.0/24"], "pods": [],
            "machines": machines, "loadBalancers": [["10.9.0.200", "10.9.0.201"]],
        }  # fmt: skip
        self.config.write_text(json.dumps(plain))

    def on(self, name: str) -> None:
        record = {"pid": self._process.pid, "started": started_at(self._process.pid), "namespace": 0}
        (self._directory / name / "process.json").write_text(json.dumps(record))

    def off(self, name: str) -> None:
        (self._directory / name / "process.json").unlink()

    def delete(self, name: str) -> None:
        self.off(name)
        (self._directory / name / "made").unlink()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    process = subprocess.Popen(["sleep", "1000"])
    try:
        (tmp_path / "machines").mkdir()
        yield Machines(tmp_path / "machines", process)
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def manager(simulation: Simulation, machines: Machines, debug_socket: Path | None = None) -> AsyncIterator[None]:
    """The real one, without the routes: they would be this host's."""
    client = load_kubeconfig(simulation.directory / "admin.conf")
    config = CloudConfig(
        client=client,
        cloud_config=machines.config,
        periods=Periods(monitor=0.3),
        leader_elect=True,
        leader_lease=(15.0, 10.0, 0.3),  # it is given back at the end; less would be lost by a busy machine
        debug_socket=debug_socket,
        routes=False,
        identity="tests",
    )
    stop = asyncio.Event()
    task: asyncio.Task[object] = asyncio.ensure_future(build(config).run(stop))
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def _node(client: Client, name: str) -> Object | None:
    try:
        return await client.get(NODES, name)
    except ApiError as error:
        if is_not_found(error):
            return None
        raise


async def _events(client: Client, name: str) -> set[tuple[str, str]]:
    items = (await client.list(EVENTS))["items"]
    return {(each["reason"], each["message"]) for each in items if each["involvedObject"]["name"] == name}


def _has(simulation: Simulation, name: str, *wanted: tuple[str, str]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return set(wanted) <= await _events(simulation.client, name)

    return look


async def _join(simulation: Simulation) -> None:
    for name in NAMES:
        await simulation.fleet.add(name, taints=[TAINT])


async def _initialized(simulation: Simulation) -> None:
    async def look() -> bool:
        nodes = [await _node(simulation.client, name) for name in NAMES]
        return all(node is not None and node["spec"].get("providerID") for node in nodes)

    await simulation.eventually(look, "both nodes are initialized", PATIENCE)


async def _steal_lease(simulation: Simulation) -> None:
    """Take the manager's lease and let it expire: it stops, and has to lead again."""
    name, namespace = "cloud-controller-manager", "kube-system"
    lease = await simulation.client.get(LEASES, name, namespace)
    assert lease["spec"]["holderIdentity"] == "tests"
    body = {"spec": {"holderIdentity": "thief"}}
    await simulation.client.patch(LEASES, name, body, namespace, kind="merge")

    async def back() -> bool:
        found = await simulation.client.get(LEASES, name, namespace)
        return bool(found["spec"]["holderIdentity"] == "tests")

    await simulation.eventually(back, "the manager leads again", PATIENCE)


def test_nodes(tmp_path: Path, machines: Machines) -> None:
    """Initialized when they register, tainted when their machine is off, deleted when it is gone."""

    async def check() -> None:
        async with simulated_cluster(tmp_path / "cp", grace=3.0, scheduler=False) as simulation:
            await _join(simulation)
            async with manager(simulation, machines):
                await _initialized(simulation)

                async def addressed() -> Object | None:
                    node = await simulation.client.get(NODES, "one")
                    return node if node["status"].get("addresses") else None

                node = await simulation.eventually(addressed, "one has addresses", PATIENCE)
                assert node["spec"]["providerID"] == "kubelab://lab/one"
                assert TAINT not in node["spec"].get("taints", [])
                assert node["status"]["addresses"] == [
                    {"type": "InternalIP", "address": "10.9.0.21"},
                    {"type": "Hostname", "address": "one"},
                ]
                labels = node["metadata"]["labels"]
                assert labels["topology.kubernetes.io/zone"] == "lab-one"
                assert labels["topology.kubernetes.io/region"] == "here"
                assert labels["node.kubernetes.io/instance-type"] == "tiny"
                synced = _has(simulation, "one", ("Synced", "Node synced successfully"))
                await simulation.eventually(synced, "the event Synced", PATIENCE)

                await _steal_lease(simulation)

                machines.off("two")
                simulation.fleet.silent.add("two")

                def tainted(expected: bool) -> Callable[[], Awaitable[bool]]:
                    async def look() -> bool:
                        found = await simulation.client.get(NODES, "two")
                        return expected == any(t["key"] == SHUTDOWN for t in found["spec"].get("taints") or ())

                    return look

                await simulation.eventually(tainted(True), "two has the shutdown taint", PATIENCE)
                machines.on("two")
                await simulation.fleet.revive("two")
                await simulation.eventually(tainted(False), "the shutdown taint is gone", PATIENCE)

                machines.delete("two")
                simulation.fleet.silent.add("two")

                async def gone() -> bool:
                    return await _node(simulation.client, "two") is None

                await simulation.eventually(gone, "the Node of a deleted machine is gone", PATIENCE)
                message = "Deleting node two because it does not exist in the cloud provider"
                told = _has(simulation, "two", ("DeletingNode", message))
                await simulation.eventually(told, "the event DeletingNode", PATIENCE)
                assert await _node(simulation.client, "one") is not None

    asyncio.run(check())


def _service(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec},
    }


async def _balanced(simulation: Simulation, name: str, node: str | None = None) -> Object:
    """The Service once it has an address and is announced, by `node` if one is named."""

    async def look() -> Object | None:
        service = await simulation.client.get(SERVICES, name, "default")
        announced = service["metadata"].get("annotations", {}).get(ANNOUNCED_BY)
        shown = service["status"]["loadBalancer"].get("ingress") and announced
        return service if shown and (node is None or announced == node) else None

    found: Object = await simulation.eventually(look, f"{name} is announced by {node or 'a node'}", PATIENCE)
    return found


def _ip(service: Object) -> str:
    assert service["status"]["loadBalancer"]["ingress"][0]["ipMode"] == "VIP"
    return str(service["status"]["loadBalancer"]["ingress"][0]["ip"])


def test_services(tmp_path: Path, machines: Machines) -> None:
    """Addresses: given once, kept over a restart, free again; announced by a node that can serve."""

    async def check() -> None:
        async with simulated_cluster(tmp_path / "cp", grace=3.0, scheduler=False) as simulation:
            client = simulation.client
            await _join(simulation)
            foreign = _service("foreign", loadBalancerClass="example.com/other")
            await client.create(SERVICES, foreign, "default")
            async with manager(simulation, machines):
                await _initialized(simulation)
                for name in ("first", "second"):
                    await client.create(SERVICES, _service(name), "default")
                first, second = await _balanced(simulation, "first"), await _balanced(simulation, "second")
                assert {_ip(first), _ip(second)} == {"10.9.0.200", "10.9.0.201"}
                assert FINALIZER in first["metadata"]["finalizers"]
                told = (
                    ("EnsuringLoadBalancer", "Ensuring load balancer"),
                    ("EnsuredLoadBalancer", "Ensured load balancer"),
                )
                await simulation.eventually(_has(simulation, "first", *told), "its events", PATIENCE)
                await client.create(SERVICES, _service("third"), "default")
                full = "failed to ensure load balancer: no address of 10.9.0.200-10.9.0.201 is free"
                refused = ("SyncLoadBalancerFailed", f"Error syncing load balancer: {full}")
                await simulation.eventually(_has(simulation, "third", refused), "the pool is empty", PATIENCE)
            async with manager(simulation, machines):
                # What was given before the restart stays; what is free again goes to who waits.
                await client.delete(SERVICES, "second", "default")
                third = await _balanced(simulation, "third")
                assert _ip(third) == _ip(second)
                assert _ip(await _balanced(simulation, "first")) == _ip(first)

                node = first["metadata"]["annotations"][ANNOUNCED_BY]
                other = next(name for name in NAMES if name != node)
                machines.off(node)  # the Node is Ready, and stays so
                moved = await _balanced(simulation, "first", other)
                assert _ip(moved) == _ip(first)
                updated = ("UpdatedLoadBalancer", "Updated load balancer with new hosts")
                await simulation.eventually(_has(simulation, "first", updated), "the event of it", PATIENCE)
                machines.on(node)
                simulation.fleet.silent.add(other)
                await _balanced(simulation, "first", node)
                await simulation.fleet.revive(other)

                slices = {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": "local", "namespace": "default", "labels": {"kubernetes.io/service-name": "first"},
                    },
                    "addressType": "IPv4",
                    "ports": [{"port": 80}],
                    "endpoints": [{"addresses": ["10.244.9.9"], "nodeName": other, "conditions": {"ready": True}}],
                }  # fmt: skip
                await client.create(ENDPOINTSLICES, slices, "default")
                body: Object = {"spec": {"externalTrafficPolicy": "Local"}}
                await client.patch(SERVICES, "first", body, "default", kind="merge")
                await _balanced(simulation, "first", other)

                body = {"spec": {"type": "ClusterIP", "externalTrafficPolicy": None}}
                await client.patch(SERVICES, "first", body, "default", kind="merge")

                async def clean() -> bool:
                    service = await client.get(SERVICES, "first", "default")
                    metadata = service["metadata"]
                    return (
                        not service["status"]["loadBalancer"].get("ingress")
                        and FINALIZER not in metadata.get("finalizers", ())
                        and ANNOUNCED_BY not in metadata.get("annotations", {})
                    )

                await simulation.eventually(clean, "what it had is taken back", PATIENCE)
                left = await client.get(SERVICES, "foreign", "default")
                assert "finalizers" not in left["metadata"] and not left["status"]["loadBalancer"]

    asyncio.run(check())


def test_its_loops_are_stepped_and_its_doings_traced(
    tmp_path: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its socket in the lab's folder, which is where kubelab finds it."""
    lab = tmp_path / "home" / "labs" / "cloudy"
    lab.mkdir(parents=True)
    (lab / "lab.json").touch()
    monkeypatch.setenv("KUBELAB_HOME", str(tmp_path / "home"))

    async def kubelab(*words: str) -> Any:
        argv = [sys.executable, "-m", "provisioner", *words, "--kubeconfig", str(lab / "admin.conf"), "--json"]
        done = await asyncio.to_thread(subprocess.run, argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    async def check() -> None:
        async with simulated_cluster(tmp_path / "cp", scheduler=False) as simulation:
            shutil.copy(simulation.directory / "admin.conf", lab)
            await _join(simulation)
            async with manager(simulation, machines, lab / "cloud.sock"):
                await _initialized(simulation)
                told = await kubelab("step", "--list")
                assert {(each["component"], each["name"]) for each in told["loops"]} == {
                    ("cloud-controller-manager", name)
                    for name in (
                        "cloud-node-controller", "cloud-node-lifecycle-controller", "service-controller",
                        "disk-provisioner", "disk-attacher", "disk-resizer",
                    )
                }  # fmt: skip
                assert set(told["silent"]) == {"kube-scheduler", "kube-controller-manager"}  # they have no port here
                loop = "loops/service-controller"
                assert (await local_door.ask(lab / "cloud.sock", "POST", f"{loop}/pause"))["paused"] is True
                await simulation.client.create(SERVICES, _service("web"), "default")

                async def waiting() -> bool:
                    return "default/web" in (await local_door.ask(lab / "cloud.sock", "GET", loop))["ready"]

                await simulation.eventually(waiting, "the Service waits", PATIENCE)
                service = await simulation.client.get(SERVICES, "web", "default")
                assert not service["status"]["loadBalancer"].get("ingress")
                done = await kubelab("step", "service-controller", "default/web", "--yes")
                shown = [write["path"].rpartition("/")[2] for write in done["rehearsal"]["writes"]]
                assert shown == ["web", "status", "web"]  # finalizer, address, who announces it
                assert (done["outcome"]["key"], done["outcome"]["result"]) == ("default/web", "success")
                assert _ip(await _balanced(simulation, "web")) in ("10.9.0.200", "10.9.0.201")
                assert (await local_door.ask(lab / "cloud.sock", "POST", f"{loop}/resume"))["paused"] is False
                steps = (await kubelab("trace", "service", "web"))["steps"]
                turns = [s["thing"] for s in steps if s["where"] == "cloud-controller-manager"]
                assert {"resource": "service-controller", "key": "default/web", "revision": ""} in turns

    asyncio.run(check())
