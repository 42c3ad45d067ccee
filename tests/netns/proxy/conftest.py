"""A control plane and two nodes, each a network namespace with its own kube-proxy process. The API is the real one."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from apimachinery.api.catalogue import ENDPOINTSLICES, NODES, SERVICES
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client, wait_ready
from apimachinery.meta.status import ApiError
from nodeagent.cni import install
from tests.netns.cni.namespaces import Namespace, Server, connect, eventually

API = "192.0.2.9"
CLUSTER = "10.244.0.0/16"
ROOT = Path(__file__).parents[3]


class Process:
    """A process of ours in a namespace; its log is shown when it does not do what it should.

    commands: a directory with those that it is to find before the machine's."""

    def __init__(self, namespace: Namespace, log: Path, *argv: str, commands: Path | None = None) -> None:
        self.log = log
        self._file = log.open("ab")
        path = os.environ["PATH"] if commands is None else f"{commands}:{os.environ['PATH']}"
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
        self.popen = subprocess.Popen(
            ["nsenter", f"--net={namespace.path}", sys.executable, *argv],
            stdout=self._file, stderr=self._file, env=env, cwd=ROOT,
        )  # fmt: skip

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        self._file.close()
        return self.popen.wait(120)


class Node:
    """`node-N` with the address 192.0.2.N, and its kube-proxy."""

    def __init__(self, number: int, world: "World") -> None:
        self.name, self.ip = f"node-{number}", f"192.0.2.{number}"
        self.ips = [self.ip]
        self.namespace = Namespace(self.name)
        self.directory = world.directory / self.name
        self.directory.mkdir()
        self._world = world
        self.process: Process | None = None

    def start(
        self, *, module: str = "nodeagent.proxy", flags: tuple[str, ...] = (), commands: Path | None = None
    ) -> Process:
        argv = [
            "-m", module, f"--kubeconfig={self._world.kubeconfig}", f"--hostname-override={self.name}",
            f"--cluster-cidr={CLUSTER}", f"--cni-conf-dir={self.directory / 'net.d'}",
            f"--cni-data-dir={self.directory / 'leases'}", *flags,
        ]  # fmt: skip
        self.process = Process(self.namespace, self.directory / "kube-proxy.log", *argv, commands=commands)
        return self.process

    @property
    def conflist(self) -> Path:
        return self.directory / "net.d" / "10-kubelab.conflist"

    def pod(
        self, name: str, host_ports: Mapping[int, int] | None = None, bandwidth: Mapping[str, int] | None = None
    ) -> tuple[Namespace, str]:
        """A pod attached by the configuration that the proxy wrote; its namespace and address.

        host_ports: of the node, with the pod's that each leads to. bandwidth: as the runtime says it."""
        document = json.loads(eventually("the CNI configuration", lambda: self.conflist.read_text()))
        config = {**document["plugins"][0], "cniVersion": document["cniVersion"], "name": document["name"]}
        runtime: dict[str, Any] = {"bandwidth": dict(bandwidth)} if bandwidth else {}
        if host_ports:
            ports = [{"hostPort": on, "containerPort": to, "protocol": "tcp"} for on, to in host_ports.items()]
            runtime["portMappings"] = ports
        if runtime:
            config["runtimeConfig"] = runtime
        pod = Namespace(name)
        self._world.extra.append(pod)
        env = {
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": name, "CNI_NETNS": str(pod.path), "CNI_IFNAME": "eth0",
            "CNI_PATH": "/none",
        }  # fmt: skip
        answer = self.namespace.run(
            str(self._world.directory / "bin/kubelab-bridge"), input=json.dumps(config), env=env
        )
        return pod, json.loads(answer)["ips"][0]["address"].split("/")[0]

    def get(self, port: int, path: str) -> tuple[int, str]:
        done = self.namespace.run("curl", "-s", "-w", "\n%{http_code}", f"http://127.0.0.1:{port}{path}", check=False)
        body, _, code = done.rpartition("\n")
        return int(code), body


class World:
    """The API machine (192.0.2.9, which is also the switch) and the nodes."""

    address_type = "IPv4"  # of the slices that are made

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        install.install(directory / "bin", Path(sys.executable).resolve(), ROOT)
        self.api = Namespace("api")
        self.nodes = [Node(1, self), Node(2, self)]
        self.extra: list[Namespace] = []
        self.servers: list[Server] = []
        self.control_plane: Process | None = None
        self.client: Client
        self.api.run("ip", "link", "add", "br0", "type", "bridge")
        self.api.run("ip", "address", "add", f"{API}/24", "dev", "br0")
        self.api.run("ip", "link", "set", "br0", "up")
        for number, node in enumerate(self.nodes):
            port = f"port{number}"
            connect(self.api, node.namespace, f"198.51.100.{number}/32", f"{node.ip}/24", (port, "up0"))
            self.api.run("ip", "link", "set", port, "master", "br0")
            node.namespace.run("ip", "route", "add", "default", "via", API)

    async def start(self) -> None:
        self.start_control_plane()
        made = self.directory / "control-plane" / "admin.kubeconfig"
        eventually("the kubeconfig", made.exists)
        self.kubeconfig.write_text(made.read_text().replace("127.0.0.1", API))
        # Its sockets are made in the namespace of the API: the event loop's own stay where they are.
        self.client = Client(load_kubeconfig(self.kubeconfig), "test")

    def start_control_plane(self) -> None:
        argv = ["-m", "controlplane", "--data-dir", str(self.directory / "control-plane"), "--listen", f"{API}:6443"]
        self.control_plane = Process(self.api, self.directory / "control-plane.log", *argv, "--cluster-cidr", CLUSTER)

    async def service(self, name: str, pods: list[tuple[str, str]], **spec: Any) -> str:
        """A Service without a selector, and its slice; pods: (address, node). Returns the ClusterIP."""
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}}
        made = await self.client.create(
            SERVICES, {**body, "spec": {"ports": [{"port": 80, "targetPort": 8080}], **spec}}
        )
        await self.client.create(
            ENDPOINTSLICES,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-1", "namespace": "default", "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": self.address_type,
                "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
                "endpoints": [
                    {"addresses": [ip], "nodeName": node, "conditions": {"ready": True}} for ip, node in pods
                ],
            },
        )  # fmt: skip
        return str(made["spec"]["clusterIP"])

    async def register(self, node: Node) -> None:
        """What a kubelet does: the Node with its address."""
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name}}
        made = await self.client.create(NODES, body)
        status = {"addresses": [{"type": "InternalIP", "address": ip} for ip in node.ips]}
        for _ in range(20):
            try:
                await self.client.update(NODES, {**made, "status": status}, subresource="status")
                return
            except ApiError as error:
                if error.code != 409:
                    raise
                made = await self.client.get(NODES, node.name)
        raise AssertionError("the status of the Node could not be written")

    def close(self) -> None:
        for server in self.servers:
            server.close()
        for process in (*(node.process for node in self.nodes), self.control_plane):
            if process is not None:
                process.stop(signal.SIGKILL)
        for namespace in (*self.extra, *(node.namespace for node in self.nodes), self.api):
            namespace.delete()


T = TypeVar("T", bound=World)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(World(tmp_path)) as made:
        yield made


@contextlib.asynccontextmanager
async def running(made: T) -> AsyncIterator[T]:
    try:
        await made.start()
        async with InNamespace(made.api, made.client):
            await wait_ready(made.client, attempts=600)
            for node in made.nodes:
                await made.register(node)
                node.start()
            yield made
    finally:
        made.close()


class InNamespace:
    """Runs the whole test's thread inside a namespace, so that its client's connections are made there."""

    def __init__(self, namespace: Namespace, client: Client) -> None:
        self._namespace, self._client = namespace, client
        self._descriptors: list[int] = []

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)
        self._descriptors = [os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", self._namespace.path)]
        _setns(self._descriptors[1])
        await self._client.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)
        _setns(self._descriptors[0])
        for descriptor in self._descriptors:
            os.close(descriptor)


def _setns(descriptor: int) -> None:
    from nodeagent.netlink import namespaces

    namespaces._setns(descriptor)
