"""Names and values made to break out of a rule: none does, and iptables accepts every rule that is written."""

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from apimachinery.meta.endpoints import SERVICE_NAME
from nodeagent.proxy.iptables.plan import plan_port
from nodeagent.proxy.iptables.ruleset import assemble, render
from nodeagent.proxy.iptables.saved import plan_whole
from nodeagent.proxy.nftables.plan import PortPlan
from nodeagent.proxy.nftables.plan import plan_port as nftables_plan
from nodeagent.proxy.nftables.render import Present, render_whole
from nodeagent.proxy.nftables.state import FIXED, State, merge
from nodeagent.proxy.nftables.table import fixed_chains
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import Endpoint, ServicePort, endpoints, service_ports
from tests.conformance.netfilter.cluster import Cluster
from tests.conformance.netfilter.modes import IptablesMode, NftablesMode

HOSTILE: tuple[object, ...] = (
    *(
        'x" -j ACCEPT',
        "x\nCOMMIT",
        "x\n*filter\n:INPUT ACCEPT [0:0]",
        "-F",
        "--help",
        "!",
        "$(id)",
        "`id`",
        "x -j DROP",
    ),
    *("é", "\0", "'", "\\", "x" * 300, "", "a b", "KUBE-SERVICES", "10.0.0.1 -j ACCEPT", "10.0.0.0/0", "0.0.0.0/0"),
    *("::1", "web", "10.244.0.5", "127.0.0.1", 7, -1, 70000, True, None, 1.5, 80, [], {}),
)


def service(chance: random.Random, number: int) -> dict[str, Any]:
    def pick(good: object) -> object:
        return chance.choice(HOSTILE) if chance.random() < 0.3 else good

    port = {"name": pick("http"), "port": pick(80), "nodePort": pick(30000 + number % 2000), "protocol": pick("UDP")}
    return {
        "metadata": {"name": pick(f"s{number}"), "namespace": pick("default")},
        "spec": {
            "type": chance.choice(["ClusterIP", "NodePort", "LoadBalancer"]),
            "clusterIP": pick(f"10.96.{number // 250}.{number % 250 + 1}"),
            "ports": [port],
            "externalIPs": [pick("203.0.113.1")],
            "loadBalancerSourceRanges": [pick("10.0.0.0/8")],
            "sessionAffinity": pick("ClientIP"),
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": pick(30)}},
            "externalTrafficPolicy": pick("Local"),
            "healthCheckNodePort": pick(31000),
        },
        "status": {"loadBalancer": {"ingress": [{"ip": pick("203.0.113.2")}]}},
    }


def slices(chance: random.Random, name: object) -> list[dict[str, Any]]:
    def pick(good: object) -> object:
        return chance.choice(HOSTILE) if chance.random() < 0.3 else good

    entry = {"addresses": [pick(f"10.244.0.{chance.randint(2, 250)}")], "nodeName": pick("node-1")}
    return [
        {
            "metadata": {"name": "x", "namespace": "default", "labels": {SERVICE_NAME: name}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": pick(8080), "protocol": "UDP"}],
            "endpoints": [entry],
        }
    ]


def hostile_ports() -> Iterator[tuple[str, list[tuple[ServicePort, list[Endpoint]]]]]:
    """By Service, what is left of 10,000 of them."""
    chance = random.Random(5)
    for number in range(10_000):
        body = service(chance, number)
        behind = endpoints(slices(chance, body["metadata"]["name"]), "node-1", 4)
        ports = [(port, behind.get((port.port_name, port.protocol), [])) for port in service_ports(body, 4)]
        if ports:
            yield f"default/{number}", ports


VIEW = NodeView(cluster_cidr="10.244.0.0/16", node_ip="192.0.2.1")


@pytest.mark.parametrize("cluster", ["iptables-nft", "iptables-legacy"], indirect=True)
async def test_ten_thousand_hostile_services_with_iptables(cluster: Cluster) -> None:
    plans = [plan_port(port, behind, VIEW) for _, ports in hostile_ports() for port, behind in ports]
    assert len(plans) > 1000
    text = render(plan_whole({}, assemble(plans, Settings(), VIEW)))
    for line in text.splitlines():
        assert line.startswith(("*", ":KUBE", "-A KUBE", "-I ", "COMMIT")), line
    mode = cluster.nodes[0].mode
    assert isinstance(mode, IptablesMode)
    mode.check(text)


@pytest.mark.parametrize("cluster", ["nftables"], indirect=True)
async def test_ten_thousand_hostile_services_with_nftables(cluster: Cluster) -> None:
    state = State()
    found = dict(hostile_ports())
    assert len(found) > 1000
    state.replace({
        FIXED: PortPlan(chains=fixed_chains(Settings(), VIEW)),
        **{key: merge(nftables_plan(port, behind, VIEW) for port, behind in ports) for key, ports in found.items()},
    })  # fmt: skip
    text = "".join(render_whole(state, Present(), 4, state.plans.values()))
    for line in text.splitlines():
        assert re.match(r"add (table|chain|map|set|rule|element) ip kube-proxy ", line), line
        assert line.isascii() and line.isprintable(), line
    mode = cluster.nodes[0].mode
    assert isinstance(mode, NftablesMode)
    mode.check(text)
