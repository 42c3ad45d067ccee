"""Random policies against real connections: a model of the API's words, apart from the plan, says who reaches whom.

KUBELAB_RANDOM_POLICIES: how many worlds. A connection that should be is tried until it is; one that should not be has
a moment to succeed, and must not.
"""

import asyncio
import contextlib
import ipaddress
import os
import random
import socket
from typing import Any

import pytest

from nodeagent.policy.model import read_pod
from nodeagent.policy.plan import World, plan_rules
from nodeagent.policy.render import DELETE, build_table, render, render_change
from tests.netns.cni.namespaces import Namespace

WORLDS = int(os.environ.get("KUBELAB_RANDOM_POLICIES", "6"))
PORTS = {"http": 80, "admin": 81}
MOMENT = 0.3  # seconds in which what is not stopped gets through, mostly
NODE = "node-1"
SPACES = {"red": {"team": "red", "kubernetes.io/metadata.name": "red"}, "blue": {"team": "blue"}}
# name → (namespace, address); `out` is no pod.
PODS = {"r1": ("red", 2), "r2": ("red", 3), "b1": ("blue", 4), "b2": ("blue", 5)}
FAMILIES = {4: "10.77.0.{}", 6: "fd77::{}"}
OUT = 9


def address(number: int, family: int) -> str:
    return FAMILIES[family].format(number)


class Node:
    """A node that routes between its pods and one machine outside."""

    def __init__(self) -> None:
        self.namespace = Namespace("dnd-node")
        self.insides: dict[str, Namespace] = {}
        self._servers: list[socket.socket] = []
        run = self.namespace.run
        for key in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            run("sysctl", "-qw", key)
        for name, (_, number) in {**PODS, "out": ("", OUT)}.items():
            inside = self.insides[name] = Namespace(f"dnd-{name}")
            run("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", inside.name)
            run("ip", "link", "set", f"v{number}", "up")
            inside.run("ip", "link", "set", "eth0", "up")
            run("ip", "address", "add", "10.77.0.1/32", "dev", f"v{number}")
            run("ip", "-6", "address", "add", "fd77::1/128", "dev", f"v{number}", "nodad")
            for family, whole in ((4, 32), (6, 128)):
                ip, gateway, option = address(number, family), address(1, family), f"-{family}"
                extra = ["nodad"] if family == 6 else []
                inside.run("ip", option, "address", "add", f"{ip}/{whole}", "dev", "eth0", *extra)
                inside.run("ip", option, "route", "add", f"{gateway}/{whole}", "dev", "eth0")
                inside.run("ip", option, "route", "add", "default", "via", gateway)
                run("ip", option, "route", "add", f"{ip}/{whole}", "dev", f"v{number}")
            for port in PORTS.values():
                self._servers.append(inside.inside(lambda port=port: _listen(port)))

    def hang_up(self) -> None:
        """Let go of the connections there are: who is not accepted waits in a queue that would be full one day."""
        for server in self._servers:
            with contextlib.suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for inside in (*self.insides.values(), self.namespace):
            inside.delete()


def _listen(port: int) -> socket.socket:
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    server.setblocking(False)
    return server


@pytest.fixture
def node():
    made = Node()
    yield made
    made.close()


def pod(name: str) -> dict[str, Any]:
    namespace, number = PODS[name]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name, "kind": name[1]}},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "c", "ports": [{"name": key, "containerPort": PORTS[key]} for key in PORTS]}],
        },
        "status": {"phase": "Running", "podIPs": [{"ip": address(number, family)} for family in FAMILIES]},
    }


def generate(chance: random.Random) -> list[dict[str, Any]]:
    def selector(choices: list[dict[str, str]]) -> dict[str, Any]:
        return chance.choice([{}, *({"matchLabels": one} for one in choices)])

    def peer() -> dict[str, Any]:
        kind = chance.randrange(4)
        if kind == 0:
            return {"podSelector": selector([{"kind": "1"}, {"app": "r2"}])}
        if kind == 1:
            return {"namespaceSelector": selector([{"team": "red"}, {"team": "blue"}])}
        if kind == 2:
            return {"namespaceSelector": selector([{"team": "blue"}]), "podSelector": selector([{"kind": "2"}])}
        return {
            "ipBlock": chance.choice(
                [
                    {"cidr": "10.77.0.0/28", "except": ["10.77.0.4/31"]},
                    {"cidr": "10.77.0.9/32"},
                    {"cidr": "fd77::/64", "except": ["fd77::2/127"]},
                    {"cidr": "0.0.0.0/0"},
                ]
            )
        }

    def rule(key: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if chance.random() < 0.8:
            made[key] = [peer() for _ in range(chance.randint(1, 2))]
        if chance.random() < 0.6:
            made["ports"] = [
                chance.choice([{"port": 80}, {"port": "admin"}, {"port": 70, "endPort": 80}, {"protocol": "UDP"}, {}])
            ]
        return made

    policies = []
    for number in range(chance.randint(1, 4)):
        spec: dict[str, Any] = {"podSelector": selector([{"kind": "1"}, {"app": "b2"}])}
        if chance.random() < 0.7:
            spec["ingress"] = [rule("from") for _ in range(chance.randint(0, 2))]
        if chance.random() < 0.5:
            spec["egress"] = [rule("to") for _ in range(chance.randint(0, 2))]
        if chance.random() < 0.4:
            spec["policyTypes"] = chance.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        policies.append({"metadata": {"name": f"p{number}", "namespace": chance.choice(["red", "blue"])}, "spec": spec})
    return policies


def allows(policies: list[dict[str, Any]], source: str, target: str, family: int, port: int) -> bool:
    """The API's words: a pod is isolated in a direction if a policy selects it for that; then some rule must allow."""
    return _direction(policies, "egress", source, target, target, family, port) and _direction(
        policies, "ingress", target, source, target, family, port
    )


def _matches(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in (selector or {}).get("matchLabels", {}).items())


def _direction(
    policies: list[dict[str, Any]], direction: str, subject: str, other: str, target: str, family: int, port: int
) -> bool:
    if subject not in PODS:
        return True
    namespace, labels = PODS[subject][0], pod(subject)["metadata"]["labels"]
    isolated = False
    for policy in policies:
        spec = policy["spec"]
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        if policy["metadata"]["namespace"] != namespace or not _matches(spec["podSelector"], labels):
            continue
        if direction.capitalize() not in types:
            continue
        isolated = True
        for rule in spec.get(direction) or []:
            peers = rule.get("from" if direction == "ingress" else "to")
            if peers and not any(_is_peer(peer, namespace, other, family) for peer in peers):
                continue
            if not rule.get("ports") or any(_is_port(said, target, port) for said in rule["ports"]):
                return True
    return not isolated


def _is_peer(peer: dict[str, Any], namespace: str, other: str, family: int) -> bool:
    if block := peer.get("ipBlock"):
        ip = ipaddress.ip_address(address(PODS[other][1] if other in PODS else OUT, family))
        inside = [ip in ipaddress.ip_network(one) for one in (block["cidr"], *block.get("except", []))]
        return inside[0] and not any(inside[1:])
    if other not in PODS:
        return False
    space = PODS[other][0]
    if "namespaceSelector" in peer:
        return _matches(peer["namespaceSelector"], SPACES[space]) and _matches(
            peer.get("podSelector"), pod(other)["metadata"]["labels"]
        )
    return space == namespace and _matches(peer["podSelector"], pod(other)["metadata"]["labels"])


def _is_port(said: dict[str, Any], target: str, port: int) -> bool:
    if said.get("protocol", "TCP") != "TCP":
        return False
    wanted = said.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return target in PODS and PORTS[wanted] == port
    return bool(wanted <= port <= said.get("endPort", wanted))


async def connects(node: Node, source: str, target: str, family: int, port: int, seconds: float) -> bool:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with node.insides[source].inside(lambda: socket.socket(kind, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)) as client:
        ip = address(PODS[target][1] if target in PODS else OUT, family)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(client, (ip, port))
        except (TimeoutError, OSError):
            return False
        return True


async def test_a_model_and_real_connections_agree(node: Node) -> None:
    chance = random.Random(11)
    pods = [one for one in (read_pod(pod(name)) for name in PODS) if one is not None]
    every = [
        (source, target, family, port)
        for source in node.insides
        for target in node.insides
        for family in FAMILIES
        for port in PORTS.values()
        if source != target
    ]
    for way in every:
        assert await connects(node, *way, 20), f"{way} without any policy"
    table = None
    verdicts = []
    for _ in range(WORLDS):
        policies = generate(chance)
        new = build_table(plan_rules(World(policies, pods, SPACES), NODE))
        # As the enforcer does it: the whole first, then what changed.
        text = render(new) if table is None else render_change(table, new)
        if text:
            node.namespace.run("nft", "-f", "-", input=text)
        table = new
        wanted = {way: allows(policies, *way) for way in every}
        denied = [way for way in every if not wanted[way]]
        through = await asyncio.gather(*(connects(node, *way, MOMENT) for way in denied))
        assert not [way for way, passed in zip(denied, through, strict=True) if passed], policies
        for way in every:
            if wanted[way]:
                assert await connects(node, *way, 20), (way, policies)
        node.hang_up()
        verdicts += wanted.values()
    assert 0.1 < sum(verdicts) / len(verdicts) < 0.9
    node.namespace.run("nft", "-f", "-", input=DELETE)
