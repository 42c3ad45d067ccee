"""A control plane in this process with simulated nodes: real API server, scheduler and controllers, no machine.

The simulated kubelet does what the API sees of a real one: it renews its lease, marks bound pods Running, confirms
deletions, and says again that node and pods are ready when somebody else has said that they are not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import itertools
import logging
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from apimachinery.api.catalogue import LEASES, NODES, PODS, Resource
from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import objects, pods, taints, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.allinone.config import AllInOneConfig
from controlplane.allinone.wire import flags, prepare
from controlplane.apiserver import config as apiserver_config
from controlplane.apiserver import wire as apiserver
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.wire import build as build_controllers
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.wire import build as build_scheduler
from tests.integration.ports import free_port

log = logging.getLogger(__name__)

Object = dict[str, Any]

DEADLINE = 120.0


def a_pod(name: str, cpu: str = "100m", **spec: Any) -> Object:
    """A pod of the default namespace that asks for `cpu`, and ends at once."""
    container = {"name": "main", "image": "nginx", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


class Fleet:
    """Simulated nodes and the kubelets on them. watched: a controller takes the taint off nodes that are ready."""

    def __init__(self, client: Client, *, watched: bool) -> None:
        self._client, self._clock, self._watched = client, SystemClock(), watched
        self.silent: set[str] = set()
        self._names: set[str] = set()
        self._addresses = itertools.count(2)
        # Pods whose containers the kubelet does not bring up.
        self.held: Callable[[Object], bool] = lambda pod: False

    async def add(
        self, name: str, *, cpu: str = "4", labels: dict[str, str] | None = None, taints: list[Object] | None = None
    ) -> None:
        """Register a node that is Ready, and wait until pods may go there."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": taints} if taints else {},
        }
        await self._client.create(NODES, node)
        await self._client.patch(NODES, name, {"status": self._status(cpu)}, subresource="status")
        await self._renew(name)
        self._names.add(name)
        # A pod that was bound before this kubelet was there.
        for pod in (await self._client.list(PODS, field_selector=f"spec.nodeName={name}"))["items"]:
            await self._contained(self._sync, pod)
        async with asyncio.timeout(DEADLINE):
            while self._watched and await self._not_ready_taint(name):
                await asyncio.sleep(0.05)

    async def _not_ready_taint(self, name: str) -> bool:
        node = await self._client.get(NODES, name)
        return any(taint["key"] == taints.NOT_READY for taint in (node.get("spec") or {}).get("taints") or ())

    def _status(self, cpu: str) -> Object:
        now = times.rfc3339(self._clock.now())
        amounts = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
        return {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": now}],
        }

    def forget(self, name: str) -> None:
        """The node's machine is no more: nobody speaks for it, or looks after its pods."""
        self._names.discard(name)

    async def revive(self, name: str, cpu: str = "4") -> None:
        """The kubelet of a silent node speaks again."""
        self.silent.discard(name)
        await self._renew(name)
        await self._client.patch(NODES, name, {"status": self._status(cpu)}, subresource="status")

    async def run(self) -> None:
        """Be the kubelets, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats())
            group.create_task(self._follow(NODES, self._repost))
            group.create_task(self._follow(PODS, self._sync))

    async def _follow(self, resource: Resource, act: Callable[[Object], Awaitable[None]]) -> None:
        """Act on every object as it is and whenever it changes; a server that is too busy is asked again."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    listed = await self._client.list(resource)
                    for obj in listed["items"]:
                        group.create_task(self._contained(act, obj))
                    version = listed["metadata"]["resourceVersion"]
                    async for event in self._client.watch(resource, resource_version=version):
                        if event.type in ("ADDED", "MODIFIED"):
                            group.create_task(self._contained(act, event.object))
                except (ApiError, ApiUnreachable) as error:
                    log.info("following %s: %s", resource, error)
                    await asyncio.sleep(0.2)

    async def _contained(self, act: Callable[[Object], Awaitable[None]], obj: Object) -> None:
        for _ in range(10):
            try:
                return await act(obj)
            except (ApiError, ApiUnreachable) as error:
                if isinstance(error, ApiError) and (is_not_found(error) or error.code == 409):
                    return None  # gone, or a newer one is about to be told
                log.info("%s: %s", objects.key(obj), error)
                await asyncio.sleep(0.2)
        raise AssertionError(f"no kubelet could write {objects.key(obj)}")

    async def _heartbeats(self) -> None:
        while True:
            for name in self._names - self.silent:
                try:
                    await self._renew(name)
                except (ApiError, ApiUnreachable) as error:
                    log.info("lease of %s: %s", name, error)
            await asyncio.sleep(0.3)

    async def _repost(self, node: Object) -> None:
        """Silence may have been diagnosed because this whole process got no processor."""
        name = objects.name(node)
        ready = pods.condition(node, "Ready") or {}
        if name in self._names - self.silent and ready.get("reason") == "NodeStatusUnknown":
            conditions = self._status("")["conditions"]
            await self._client.patch(
                NODES, name, {"status": {"conditions": conditions}}, kind="strategic", subresource="status"
            )

    async def _renew(self, name: str) -> None:
        now = times.rfc3339_micro(self._clock.now())
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}
        try:
            await self._client.patch(LEASES, name, {"spec": spec}, "kube-node-lease")
        except ApiError as error:
            if not is_not_found(error):
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
            await self._client.create(LEASES, {**lease, "metadata": {"name": name, "namespace": "kube-node-lease"}})

    async def _sync(self, pod: Object) -> None:
        node = (pod.get("spec") or {}).get("nodeName")
        if node not in self._names - self.silent:
            return
        name, namespace = objects.name(pod), objects.namespace(pod)
        ready = pods.condition(pod, "Ready") or {}
        if objects.is_deleting(pod):
            await self._client.delete(PODS, name, namespace, uid=objects.uid(pod), grace_period=0)
        elif pods.phase(pod) == "Pending" and not self.held(pod):
            await self._client.patch(PODS, name, self._running(pod), namespace, subresource="status")
        elif pods.phase(pod) == "Running" and ready.get("status") == "False" and not ready.get("reason"):
            again = {**ready, "status": "True", "lastTransitionTime": times.rfc3339(self._clock.now())}
            body = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [again]}}
            await self._client.patch(PODS, name, body, namespace, kind="strategic", subresource="status")

    def _running(self, pod: Object) -> Object:
        now, ip = times.rfc3339(self._clock.now()), f"10.244.9.{next(self._addresses)}"
        return {
            "metadata": {"uid": objects.uid(pod)},
            "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "startTime": now,
                "conditions": [
                    {"type": kind, "status": "True", "lastTransitionTime": now}
                    for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
                ],
            },
        }

    async def finish(self, pod: Object, phase: str, code: int = 1) -> None:
        """End a pod's containers: phase Succeeded, or Failed with an exit code."""
        terminated = {"finishedAt": times.rfc3339(self._clock.now()), "exitCode": 0 if phase == "Succeeded" else code}
        body = {
            "status": {
                "phase": phase,
                "containerStatuses": [
                    {
                        "name": "main", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0,
                        "state": {"terminated": terminated},
                    }
                ],
            }
        }  # fmt: skip
        await self._client.patch(PODS, objects.name(pod), body, objects.namespace(pod), subresource="status")


class Simulation:
    """What a test is given: an administrator's client, the nodes, and how controllers are configured."""

    def __init__(self, client: Client, directory: Path, controllers: ControllersConfig, *, watched: bool) -> None:
        self.client, self.directory, self.controllers = client, directory, controllers
        self.fleet = Fleet(client, watched=watched)

    async def eventually(self, look: Callable[[], Awaitable[Any]], what: str, within: float = DEADLINE) -> Any:
        """Look again and again until the answer is neither None nor False; fails with `what` after `within` seconds."""
        end = asyncio.get_running_loop().time() + within
        while True:
            answer = await look()
            if answer is not None and answer is not False:
                return answer
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"not within {within} s: {what}")
            await asyncio.sleep(0.05)

    async def kubectl(self, *argv: str) -> str:
        """What stock kubectl prints, the administrator's. A failure fails the test with what it said."""
        config = self.directory / "admin.conf"
        process = await asyncio.create_subprocess_exec(
            "kubectl", "--kubeconfig", str(config), *argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


@asynccontextmanager
async def simulated_cluster(
    directory: Path,
    *,
    grace: float = 50.0,
    eviction_rate: float = 0.1,
    scheduler: bool = True,
    controllers: bool = True,
    etcd: str = "",
) -> AsyncIterator[Simulation]:
    """Run everything in this process. grace: node monitor grace period in seconds. controllers: whether to run them, or
    only to say in the Simulation how they would be configured. etcd: its URL; then the test, the
    kubelets and the scheduler talk to another API server on it than the controllers do."""
    config = AllInOneConfig(data_dir=directory, port=free_port(), etcd_servers=(etcd,) if etcd else ())
    prepare(config)
    pki = directory / "pki"
    async with AsyncExitStack() as undo:
        await apiserver.build(apiserver_config.parse(flags(config)), SystemClock()).start(undo)
        server = f"https://127.0.0.1:{config.port}"
        if etcd:
            beside = dataclasses.replace(config, port=free_port(), advertise_address="127.0.0.2")
            await apiserver.build(apiserver_config.parse(flags(beside)), SystemClock()).start(undo)
            server = f"https://127.0.0.1:{beside.port}"
            admin = directory / "admin.conf"
            admin.write_text(admin.read_text().replace(f"https://127.0.0.1:{config.port}", server))

        def client(name: str) -> ClientConfig:
            return dataclasses.replace(load_kubeconfig(directory / name), server=server)

        stop = asyncio.Event()
        controllers_config = ControllersConfig(
            client=load_kubeconfig(directory / "controller-manager.conf"),
            root_ca=(pki / "ca.crt").read_bytes(),
            cluster_cidr=ipaddress.IPv4Network(config.cluster_cidr),
            service_cidr=ipaddress.IPv4Network(config.service_cidr),
            node_monitor_period=min(5.0, grace / 5),
            node_monitor_grace_period=grace,
            node_eviction_rate=eviction_rate,
            use_service_account_credentials=True,
        )
        daemons = [build_controllers(controllers_config).run(stop)] if controllers else []
        if scheduler:
            daemons.append(build_scheduler(SchedulerConfig(client("scheduler.conf"))).run(stop))
        administrator = await undo.enter_async_context(Client(client("admin.conf"), "tests"))
        simulation = Simulation(administrator, directory, controllers_config, watched=controllers)
        tasks: list[asyncio.Task[object]] = [asyncio.ensure_future(part) for part in (*daemons, simulation.fleet.run())]
        undo.push_async_callback(cancel_and_wait, *tasks)
        yield simulation
        for task in tasks:
            if task.done():
                task.result()
