"""NetworkPolicies on two nodes: who reaches whom, by real connections through the real kernel."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from apimachinery.api.catalogue import NAMESPACES, NETWORKPOLICIES, PODS
from tests.netns.cni.namespaces import WAIT, Namespace, eventually
from tests.netns.proxy.conftest import Node, World

TABLE = ("nft", "-s", "list", "table", "inet", "kubelab-policies")


async def soon(what: str, condition: Callable[[], object], seconds: float = WAIT) -> None:
    """Like `eventually`, with the loop running meanwhile."""
    await asyncio.to_thread(eventually, what, condition, seconds)


@dataclass
class Peer:
    """A pod: a namespace with servers on 80 and 81 (TCP) and 53 (UDP), and an object in the API."""

    name: str
    ip: str
    inside: Namespace

    def reaches(self, other: "Peer | str", port: int = 80) -> bool:
        ip = other if isinstance(other, str) else other.ip
        try:
            if port == 53:
                return " from " in self.inside.ask_udp(ip, port, timeout=0.5)
            return " from " in self.inside.ask(ip, port, timeout=0.5)
        except (TimeoutError, ConnectionError, OSError):
            return False


class Cluster:
    """Pods a1, a2 (default) on node-1 and b1 (namespace other) on node-2."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def start(self) -> "Cluster":
        one, two = self.world.nodes
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other", "labels": {"team": "other"}}}
        await self.world.client.create(NAMESPACES, body)
        self.a1, self.a2 = await self._pod("a1", "default", one), await self._pod("a2", "default", one)
        self.b1 = await self._pod("b1", "other", two)
        for pair in ((self.a1, self.b1), (self.b1, self.a1), (self.a2, self.a1)):
            await soon(f"{pair[0].name} reaches {pair[1].name}", lambda pair=pair: pair[0].reaches(pair[1]))
        return self

    async def _pod(self, name: str, namespace: str, node: Node) -> Peer:
        await soon("the CNI configuration", node.conflist.exists)
        inside, ip = node.pod(name)
        for port, kind in ((80, socket.SOCK_STREAM), (81, socket.SOCK_STREAM), (53, socket.SOCK_DGRAM)):
            self.world.servers.append(inside.serve(name, port, kind=kind))
        ports = [{"name": "http", "containerPort": 80}, {"name": "admin", "containerPort": 81}]
        spec = {"nodeName": node.name, "containers": [{"name": "c", "image": "i", "ports": ports}]}
        spec |= {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
        meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
        made = await self.world.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
        await self.world.client.patch(
            PODS, name, {"status": {**made.get("status", {}), **status}}, namespace, subresource="status"
        )
        return Peer(name, ip, inside)

    async def apply(self, name: str, namespace: str = "default", **spec: Any) -> None:
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
        await self.world.client.create(NETWORKPOLICIES, {**body, "spec": {"podSelector": {}, **spec}}, namespace)

    async def remove(self, name: str, namespace: str = "default") -> None:
        await self.world.client.delete(NETWORKPOLICIES, name, namespace)


@pytest.fixture
async def cluster(world: World) -> Cluster:
    for node in world.nodes:
        assert node.process is not None
        node.process.stop()
        node.start(module="nodeagent.kube_proxy", flags=(f"--cni-socket={node.directory / 'cni.sock'}",))
    return await Cluster(world).start()


def app(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": name}}}


def table(node: Node) -> str:
    return node.namespace.run(*TABLE, check=False)


async def test_ingress(cluster: Cluster) -> None:
    a1, a2, b1 = cluster.a1, cluster.a2, cluster.b1
    node = cluster.world.nodes[0]

    await cluster.apply("deny")
    await soon("nobody reaches a1", lambda: not a2.reaches(a1) and not b1.reaches(a1))
    await soon("a1 reaches b1: out is free, and so is another namespace", lambda: a1.reaches(b1))
    assert node.namespace.ask(a1.ip, 80).startswith("a1")  # a node always reaches its own pods: probes

    await cluster.apply("web", **app("a1"), ingress=[{"from": [app("a2")], "ports": [{"port": "http"}]}])
    await soon("a2 reaches a1", lambda: a2.reaches(a1))
    assert not a2.reaches(a1, 81)
    assert not a2.reaches(a1, 53)
    assert not b1.reaches(a1)

    other = {"namespaceSelector": {"matchLabels": {"team": "other"}}}
    await cluster.apply("others", **app("a1"), ingress=[{"from": [other], "ports": [{"port": 80, "endPort": 90}]}])
    await soon("b1 reaches a1", lambda: b1.reaches(a1) and b1.reaches(a1, 81))
    assert not b1.reaches(a1, 53)
    assert 'comment "default/others ingress[0]"' in table(node)

    # What a namespace is called may change, and with it who may come.
    await cluster.world.client.patch(NAMESPACES, "other", {"metadata": {"labels": {"team": "none"}}})
    await soon("b1 no longer reaches a1", lambda: not b1.reaches(a1))

    for name in ("deny", "web", "others"):
        await cluster.remove(name)
    await soon("everybody reaches a1", lambda: a2.reaches(a1, 81) and b1.reaches(a1, 53))
    await soon("no table is left", lambda: table(node) == "")


async def test_egress(cluster: Cluster) -> None:
    a1, a2, b1 = cluster.a1, cluster.a2, cluster.b1
    await cluster.apply("quiet", **app("a1"), policyTypes=["Egress"])
    await soon("a1 reaches nobody", lambda: not a1.reaches(a2) and not a1.reaches(b1))
    assert not a1.reaches(b1, 53)
    await soon("a2 reaches a1: answers to who came are no egress", lambda: a2.reaches(a1))
    assert not a1.reaches(cluster.world.nodes[0].ip, 10256)  # nor its own node

    block = {"ipBlock": {"cidr": "10.244.0.0/16", "except": [f"{a2.ip}/32"]}}
    await cluster.apply("out", **app("a1"), policyTypes=["Egress"], egress=[{"to": [block], "ports": [{"port": 80}]}])
    await soon("a1 reaches b1", lambda: a1.reaches(b1))
    assert not a1.reaches(a2)
    assert not a1.reaches(b1, 81)

    named = {"to": [{"namespaceSelector": {}}], "ports": [{"port": "admin"}]}
    await cluster.apply("admin", **app("a1"), policyTypes=["Egress"], egress=[named])
    await soon("a1 reaches ports called admin", lambda: a1.reaches(b1, 81) and a1.reaches(a2, 81))
    assert not a1.reaches(b1, 53)

    # By a Service, too: the rules see the address behind it.
    vip = await cluster.world.service("to-b1", [(b1.ip, "node-2")], ports=[{"port": 80, "targetPort": 8080}])
    assert not a1.reaches(vip)
    own = await cluster.world.service("self", [(a1.ip, "node-1")])
    cluster.world.servers.append(a1.inside.serve("a1", 8080))
    await soon("a1 reaches itself by a Service", lambda: a1.reaches(own))


async def test_rules_outlive_the_process_and_come_back_when_flushed(cluster: Cluster) -> None:
    a1, a2 = cluster.a1, cluster.a2
    node = cluster.world.nodes[0]
    await cluster.apply("deny", **app("a1"))
    await soon("a2 does not reach a1", lambda: not a2.reaches(a1))

    node.namespace.run("nft", "delete", "table", "inet", "kubelab-policies")
    await soon("the table again", lambda: table(node) and not a2.reaches(a1))

    assert node.process is not None
    node.process.stop(9)
    assert not a2.reaches(a1)

    # Deleted while nobody looked: known at the next start.
    await cluster.remove("deny")
    node.start(module="nodeagent.kube_proxy", flags=(f"--cni-socket={node.directory / 'cni.sock'}",))
    await soon("a2 reaches a1", lambda: a2.reaches(a1))
    await soon("no table is left", lambda: table(node) == "")


async def test_cleanup_removes_the_table(cluster: Cluster) -> None:
    node = cluster.world.nodes[0]
    await cluster.apply("deny")
    await soon("a table", lambda: table(node))
    assert node.process is not None
    node.process.stop()
    assert node.start(module="nodeagent.kube_proxy", flags=("--cleanup",)).popen.wait(120) == 0
    assert table(node) == ""


async def test_an_established_connection_is_not_cut(cluster: Cluster) -> None:
    a1, a2 = cluster.a1, cluster.a2
    listener = a1.inside.inside(lambda: socket.create_server(("0.0.0.0", 90)))
    client = a2.inside.inside(lambda: socket.create_connection((a1.ip, 90), 60))
    served, _ = listener.accept()
    await cluster.apply("deny", **app("a1"))
    await soon("a2 does not reach a1", lambda: not a2.reaches(a1))
    client.sendall(b"still here")
    served.settimeout(60)
    assert served.recv(64) == b"still here"
    for one in (client, served, listener):
        one.close()
