"""Names and values made to break out of a rule: none does, and iptables accepts every rule that is written."""

import random
from typing import Any

from nodeagent.proxy.iptables.plan import plan_port
from nodeagent.proxy.iptables.ruleset import assemble, render
from nodeagent.proxy.iptables.saved import plan_whole
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import SERVICE_NAME_LABEL, endpoints, service_ports
from tests.conformance.netfilter.cluster import Cluster

HOSTILE = (
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
            "metadata": {"name": "x", "namespace": "default", "labels": {SERVICE_NAME_LABEL: name}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": pick(8080), "protocol": "UDP"}],
            "endpoints": [entry],
        }
    ]


async def test_ten_thousand_hostile_services(cluster: Cluster) -> None:
    chance, view = random.Random(5), NodeView(cluster_cidr="10.244.0.0/16", node_ip="192.0.2.1")
    plans = []
    for number in range(10_000):
        body = service(chance, number)
        behind = endpoints(slices(chance, body["metadata"]["name"]), "node-1", 4)
        for port in service_ports(body, 4):
            plans.append(plan_port(port, behind.get((port.port_name, port.protocol), []), view))
    assert len(plans) > 1000
    text = render(plan_whole({}, assemble(plans, Settings(), view)))
    for line in text.splitlines():
        assert line.startswith(("*", ":KUBE", "-A KUBE", "-I ", "COMMIT")), line
    command = f"iptables-{cluster.backend}-restore"
    cluster.nodes[0].namespace.run(command, "--test", "--noflush", "--counters", input=text)
