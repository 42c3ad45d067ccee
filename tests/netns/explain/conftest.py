"""Two nodes with kube-proxy, CNI, routes and policies as machines run them; and the walker, asked about them."""

import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import NAMESPACES, NETWORKPOLICIES, PODS
from apimachinery.kit import commands
from nodeagent.explain.main import read_cluster, read_nodes
from nodeagent.explain.question import Question, ask
from nodeagent.explain.report import Report, explain
from tests.netns.cni.namespaces import Namespace
from tests.netns.policy.test_network_policies import TABLE
from tests.netns.policy.test_network_policies import soon as soon_within
from tests.netns.proxy.conftest import API, ROOT, Node, Process, World, running

SIX, OUTSIDE_SIX = "--ipv6", "2001:db8:60::9"
PORTS = (8080, 81)  # of every pod's servers, TCP; 8080 also UDP


async def soon(what: str, condition: Callable[[], object]) -> None:
    await soon_within(what, condition)


def rules(node: Node) -> str:
    """All that kube-proxy wrote there, in whatever mode."""
    return "".join(node.namespace.run(*one.split()) for one in ("iptables-save", "ip6tables-save", "nft list ruleset"))


def policies(node: Node) -> str:
    return node.namespace.run(*TABLE, check=False)


@dataclass
class Peer:
    """Somebody who asks: a pod, a node, or (words: an address) somebody outside."""

    words: str
    ip: str
    inside: Namespace
    node: str = ""

    def ask(self, ip: str, port: int, protocol: str = "tcp", timeout: float = 1.0) -> tuple[str, str]:
        """(`answers`, who and the address that it saw), (`refused`, ""), or (`silent`, "") for everything else."""
        try:
            if protocol == "udp":
                said = self.inside.ask_udp(ip, port, timeout=timeout)
            else:
                said = self.inside.ask(ip, port, timeout=timeout)
        except ConnectionRefusedError:
            return "refused", ""
        except OSError:
            return "silent", ""
        # Nothing said: reset after it was accepted, by somebody who never saw it coming.
        return ("answers", said) if " from " in said else ("silent", "")


class SixWorld(World):
    """The same, of both families; Services and slices that are made are of IPv6."""

    address_type = "IPv6"
    networks = "10.244.0.0/16,fd00:244::/56"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.api.run("ip", "address", "add", f"{OUTSIDE_SIX}/64", "dev", "br0", "nodad")
        for number, node in enumerate(self.nodes, 1):
            node.ips.append(f"2001:db8:60::{number}")
            node.namespace.run("ip", "address", "add", f"{node.ips[1]}/64", "dev", "up0", "nodad")
            node.namespace.run("ip", "-6", "route", "add", "default", "via", OUTSIDE_SIX)

    def start_control_plane(self) -> None:
        services = "10.96.0.0/12,fd00:96::/112"
        argv = ["--listen", f"{API}:6443", "--cluster-cidr", self.networks, "--service-cidr", services]
        log, data = self.directory / "control-plane.log", self.directory / "control-plane"
        self.control_plane = Process(self.api, log, "-m", "controlplane", "--data-dir", str(data), *argv)

    async def service(self, name: str, pods: list[tuple[str, str]], **spec: Any) -> str:
        return await super().service(name, pods, ipFamilies=["IPv6"], **spec)


class Lab:
    """Pods a1, a2 on node-1 and b1, b2 on node-2, b2 in the namespace `other`; the outside is the API's machine."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.peers: dict[str, Peer] = {}
        self.is_six = isinstance(world, SixWorld)

    async def start(self) -> "Lab":
        one, two = self.world.nodes
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other", "labels": {"team": "other"}}}
        await self.world.client.create(NAMESPACES, body)
        for name, namespace, node in (("a1", "default", one), ("a2", "default", one), ("b1", "default", two)):
            await self.pod(name, namespace, node)
        await self.pod("b2", "other", two)
        for node in self.world.nodes:
            self.peers[node.name] = Peer(f"node/{node.name}", node.ips[-1], node.namespace, node.name)
        outside = OUTSIDE_SIX if self.is_six else API
        self.peers["outside"] = Peer(outside, outside, self.world.api)
        for name in ("b1", "b2"):
            await soon(f"a1 reaches {name}", lambda name=name: self["a1"].ask(self[name].ip, 81)[0] == "answers")
            await soon(f"{name} reaches a1", lambda name=name: self[name].ask(self["a1"].ip, 81)[0] == "answers")
        return self

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    async def pod(
        self, name: str, namespace: str, node: Node, host_port: int = 0, bandwidth: Mapping[str, int] | None = None
    ) -> None:
        """host_port: of the node, which leads to the pod's 8080."""
        await soon("the CNI configuration", node.conflist.exists)
        inside, ip = node.pod(name, {host_port: 8080} if host_port else None, bandwidth)
        ips = [ip, global_six(inside)] if self.is_six else [ip]
        ip, host = ips[-1], ips[-1] if self.is_six else "0.0.0.0"
        for number in PORTS:
            self.world.servers.append(inside.serve(name, number, host))
        self.world.servers.append(inside.serve(name, 8080, host, socket.SOCK_DGRAM))
        port = {"containerPort": 8080, **({"hostPort": host_port} if host_port else {})}
        spec = {"nodeName": node.name, "containers": [{"name": "c", "image": "i", "ports": [port]}]}
        spec |= {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
        meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
        made = await self.world.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        status = {**made.get("status", {}), "phase": "Running", "podIP": ips[0], "podIPs": [{"ip": one} for one in ips]}
        await self.world.client.patch(PODS, name, {"status": status}, namespace, subresource="status")
        self.peers[name] = Peer(f"pod/{namespace}/{name}", ip, inside, node.name)

    async def service(self, name: str, *pods: str, **spec: Any) -> str:
        return await self.world.service(name, [(self[pod].ip, self[pod].node) for pod in pods], **spec)

    async def policy(self, name: str, namespace: str = "default", **spec: Any) -> None:
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
        await self.world.client.create(NETWORKPOLICIES, {**body, "spec": {"podSelector": {}, **spec}}, namespace)

    async def why(self, source: str, to: str, **said: Any) -> Report:
        """source: a peer's name."""
        cluster = await read_cluster(self.world.client)
        question = ask(cluster, self[source].words, to, **said)
        nodes, unread = await read_nodes(question, self.read)
        assert not unread
        return explain(cluster, question, nodes, unread)

    async def read(self, node: str, question: Question) -> Any:
        path = self[node].inside.path
        words = (sys.executable, "-m", "nodeagent.explain.collect", f"--family={question.family}", *question.ips)
        done = await commands.run("nsenter", f"--net={path}", "env", f"PYTHONPATH={ROOT}", *words)
        return json.loads(done.stdout)


def global_six(inside: Namespace) -> str:
    (link,) = inside.json("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "global")
    return str(next(one["local"] for one in link["addr_info"] if "local" in one))


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Of both families where the lab's parameter says `--ipv6`."""
    said = getattr(request.node, "callspec", None)
    six = said is not None and SIX in str(said.params.get("lab", "")).split()
    async with running(SixWorld(tmp_path) if six else World(tmp_path)) as made:
        yield made


@pytest.fixture
async def lab(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """Its parameter: kube-proxy's mode, and further flags of it; `--ipv6`: connections are of IPv6."""
    mode, *more = getattr(request, "param", "iptables").split()
    if SIX in more:
        more.remove(SIX)
        more.append(f"--cluster-cidr={SixWorld.networks}")
    for node in world.nodes:
        assert node.process is not None
        node.process.stop()
        node.start(
            module="nodeagent.kube_proxy",
            flags=(f"--cni-socket={node.directory / 'cni.sock'}", f"--proxy-mode={mode}", *more),
        )
    yield await Lab(world).start()
