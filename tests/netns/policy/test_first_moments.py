"""A pod is isolated before its first instruction: CNI ADD is answered when its policies are in the kernel."""

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import NETWORKPOLICIES, PODS
from nodeagent.cni import install
from nodeagent.cni.errors import TRY_AGAIN_LATER
from tests.netns.cni.namespaces import Namespace, Server, eventually
from tests.netns.proxy.conftest import Node, World

PORT, HOST_PORT = 8080, 7070
TRIES = 4  # of each direction, where none may succeed; the first begins with the answer to ADD
SECONDS = 0.3  # that one try may take
UNKNOWN = "unknown"  # the pod of which the API never tells
WAIT = 90.0  # for what has to succeed
TABLE = ("nft", "-s", "list", "table", "inet", "kubelab-policies")
SHY = {"podSelector": {"matchLabels": {"app": "shy"}}, "policyTypes": ["Ingress", "Egress"]}


@dataclass
class Pod:
    """What a node does of a pod: ADD by the agent. Its address is never told to the API."""

    name: str
    node: Node
    config: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.inside = Namespace(self.name)
        self._server: Server | None = None
        self._threads: list[threading.Thread] = []

    def attach(self, peer: tuple[Namespace, str], outside: Namespace, host_port: int, *, free: bool) -> None:
        """ADD; and with its answer a server in the pod, and everybody tries to reach everybody. A refusal because of a
        busy machine is followed by another ADD, as by a kubelet. free: whether tries go on until they succeed."""
        env = {
            "CNI_COMMAND": "ADD", "CNI_CONTAINERID": self.name, "CNI_NETNS": str(self.inside.path),
            "CNI_IFNAME": "eth0", "CNI_PATH": "/none", "PATH": os.environ["PATH"],
            "KUBELAB_CNI_SOCKET": str(self.node.directory / "cni.sock"),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={self.name}",
        }  # fmt: skip
        mapping = {"hostPort": host_port, "containerPort": PORT, "protocol": "tcp"}
        config = {**self.config, "runtimeConfig": {"portMappings": [mapping]}}
        plugin = str(self.node.directory.parent / "bin" / "kubelab-bridge")
        until = time.monotonic() + WAIT
        while "ips" not in self.answer:
            self.answer = json.loads(self.node.namespace.run(plugin, input=json.dumps(config), env=env, check=False))
            if self.name == UNKNOWN or time.monotonic() > until:
                return
        ip = self.answer["ips"][0]["address"].split("/")[0]
        self._server = self.inside.serve(self.name, PORT)
        for way, client, to in (
            ("out", self.inside, (peer[1], PORT)),
            ("in", peer[0], (ip, PORT)),
            ("host port", outside, (self.node.ip, host_port)),
        ):
            tries = self._until_reached if free else self._try
            self._threads.append(threading.Thread(target=tries, args=(way, client, to), daemon=True))
            self._threads[-1].start()

    def _try(self, way: str, client: Namespace, to: tuple[str, int]) -> None:
        for _ in range(TRIES):
            try:
                if " from " in client.ask(*to, timeout=SECONDS):
                    self.seen.add(way)
            except OSError:
                pass

    def _until_reached(self, way: str, client: Namespace, to: tuple[str, int]) -> None:
        until = time.monotonic() + WAIT
        while way not in self.seen and time.monotonic() < until:
            self._try(way, client, to)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(WAIT + 30)

    def close(self) -> None:
        self.join()
        if self._server is not None:
            self._server.close()
        self.inside.delete()


class Cluster:
    """A peer on the second node; pods start on the first."""

    def __init__(self, world: World) -> None:
        self.world, self.pods = world, list[Pod]()

    async def start(self) -> None:
        one, two = self.world.nodes
        for node in (one, two):
            await asyncio.to_thread(eventually, "the CNI configuration", node.conflist.exists, WAIT)
        socket = one.directory / "cni.sock"
        await asyncio.to_thread(eventually, "the agent", socket.exists, WAIT)
        inside, ip = two.pod("peer")
        self.peer = inside, ip
        self.world.servers.append(inside.serve("peer", PORT))
        document = json.loads(one.conflist.read_text())
        self._config = {**document["plugins"][0], "cniVersion": document["cniVersion"], "name": document["name"]}
        routes = ("ip", "-j", "route", "show", "proto", "76")
        for node in (one, two):
            await asyncio.to_thread(eventually, "routes", lambda node=node: node.namespace.json(*routes), WAIT)

    async def deny(self, name: str, **spec: Any) -> None:
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
        await self.world.client.create(NETWORKPOLICIES, {**body, "spec": {**SHY, **spec}}, "default")
        # Policies and pods come by different watches; the node is to know this one before the pods start.
        run = self.world.nodes[0].namespace.run
        await asyncio.to_thread(eventually, "the table", lambda: run(*TABLE, check=False), WAIT)

    async def create(self, name: str, app: str) -> None:
        spec = {
            "nodeName": "node-1",
            "containers": [{"name": "c", "image": "i"}],
            "automountServiceAccountToken": False,
        }
        meta = {"name": name, "namespace": "default", "labels": {"app": app}}
        await self.world.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    def attaching(self, name: str, *, free: bool = False) -> "asyncio.Future[Pod]":
        """The pod when ADD is answered and all have tried. On a thread."""
        pod = Pod(name, self.world.nodes[0], self._config)
        self.pods.append(pod)
        host_port = HOST_PORT + len(self.pods)

        def work() -> Pod:
            pod.attach(self.peer, self.world.api, host_port, free=free)
            pod.join()
            return pod

        return asyncio.ensure_future(asyncio.to_thread(work))


@pytest.fixture
async def cluster(world: World) -> AsyncIterator[Cluster]:
    assert install.main([str(world.directory / "bin"), "--src", str(Path(__file__).parents[3])]) == 0
    for node in world.nodes:
        assert node.process is not None
        node.process.stop()
        node.start(module="nodeagent.kube_proxy", flags=(f"--cni-socket={node.directory / 'cni.sock'}",))
    made = Cluster(world)
    try:
        await made.start()
        yield made
    finally:
        for pod in made.pods:
            pod.close()


async def test_a_pod_is_isolated_from_its_first_instruction(cluster: Cluster) -> None:
    await cluster.create("free", "shy")
    free = await cluster.attaching("free", free=True)  # there is no policy yet
    assert free.seen == {"out", "in", "host port"}

    await cluster.deny("shy")
    names = [f"shy-{number}" for number in range(4)]
    for name in names:
        await cluster.create(name, "shy")
    await cluster.create("bold", "bold")
    attaching = [cluster.attaching(name) for name in names]
    *shy, bold = await asyncio.gather(*attaching, cluster.attaching("bold", free=True))
    assert {pod.name: pod.seen for pod in shy if pod.seen} == {}
    assert all("ips" in pod.answer for pod in shy)
    assert bold.seen == {"out", "in", "host port"}


async def test_a_pod_waits_until_the_api_tells_of_it_and_is_refused_when_it_never_does(cluster: Cluster) -> None:
    await cluster.deny("shy")
    unknown, late = cluster.attaching(UNKNOWN), cluster.attaching("late")
    await cluster.create("late", "shy")
    pod = await late
    assert "ips" in pod.answer and pod.seen == set()

    refused = (await unknown).answer
    assert refused["code"] == TRY_AGAIN_LATER
    assert refused["msg"] == "the NetworkPolicies of default/unknown are not programmed after 10 s"
    held = cluster.world.nodes[0].namespace.json("ip", "-j", "link", "show", "type", "veth")
    assert len(held) == 1 + 1  # up0, late
