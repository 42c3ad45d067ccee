"""FROM and TO as people write them."""

from typing import Any

import pytest

from nodeagent.explain.cluster import Cluster
from nodeagent.explain.question import BadQuestion, ask


def named(name: str, namespace: str = "default", **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **rest}


def pod(name: str, ip: str, node: str, namespace: str = "default") -> dict[str, Any]:
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
    return named(name, namespace, spec={"nodeName": node, "containers": [container]}, status=status)


def node(name: str, ip: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": ip}]}}


WEB = named("web", "shop", spec={"clusterIP": "10.96.0.50", "ports": [
    {"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP"},
]})  # fmt: skip
SLICE = {
    "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
    "endpoints": [{"addresses": ["10.244.1.9"], "nodeName": "n2"}],
}
CLUSTER = Cluster(
    pods=[pod("a", "10.244.0.2", "n1"), pod("web", "10.244.1.9", "n2", "shop")],
    services=[WEB, named("none", spec={"clusterIP": "None"}), named("far", spec={"type": "ExternalName"})],
    slices=[SLICE],
    nodes=[node("n1", "192.0.2.1"), node("n2", "192.0.2.2"), node("n3", "192.0.2.3")],
)


@pytest.mark.parametrize(
    ("source", "to", "expected"),
    [
        ("a", "web.shop", ("service", "10.96.0.50", 80, "tcp", ("n1", "n2"))),
        ("pod/default/a", "svc/shop/web:dns", ("service", "10.96.0.50", 53, "udp", ("n1", "n2"))),
        ("10.244.0.2", "10.96.0.50:80", ("service", "10.96.0.50", 80, "tcp", ("n1", "n2"))),
        ("node/n3", "shop/web", ("pod", "10.244.1.9", 8080, "tcp", ("n2", "n3"))),
        ("a", "pod/shop/web:http", ("pod", "10.244.1.9", 8080, "tcp", ("n1", "n2"))),
        ("203.0.113.5", "n3:30080", ("node", "192.0.2.3", 30080, "tcp", ("n2", "n3"))),
        ("a", "8.8.8.8:53", ("address", "8.8.8.8", 53, "tcp", ("n1",))),
    ],
)
def test_what_is_asked(source: str, to: str, expected: tuple[object, ...]) -> None:
    found = ask(CLUSTER, source, to)
    assert (found.target.kind, found.target.ip, found.port, found.protocol, found.nodes) == expected


def test_pods_behind_a_service_are_looked_into() -> None:
    assert ask(CLUSTER, "a", "svc/shop/web").ips == ("10.244.0.2", "10.244.1.9", "10.96.0.50")


@pytest.mark.parametrize(
    ("source", "to", "says"),
    [
        ("nobody", "svc/shop/web", 'no pod or node is called "nobody"'),
        ("a", "svc/web", 'no service is called "web"'),
        ("a", "svc/none:80", "headless"),
        ("a", "svc/far:80", "ExternalName"),
        ("a", "n1", "which port"),
        ("a", "svc/shop/web:https", "has no port 'https'"),
        ("a", "svc/shop/web:0", "is no port"),
        ("203.0.113.5", "svc/shop/web", "--via NODE"),
    ],
)
def test_what_cannot_be_asked(source: str, to: str, says: str) -> None:
    with pytest.raises(BadQuestion, match=says):
        ask(CLUSTER, source, to)


def test_the_node_by_which_it_enters_must_exist() -> None:
    assert ask(CLUSTER, "203.0.113.5", "svc/shop/web", via="n3").nodes == ("n2", "n3")
    with pytest.raises(BadQuestion, match="not found"):
        ask(CLUSTER, "203.0.113.5", "svc/shop/web", via="n9")
