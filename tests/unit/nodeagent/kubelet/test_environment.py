"""Environment, expansion, downward API, service links."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nodeagent.kubelet.downward import NodeFacts, field_value, resource_value
from nodeagent.kubelet.environment import ConfigProblem, References, referenced, render, service_variables
from nodeagent.kubelet.expansion import expand

NODE = NodeFacts("node1", ("192.0.2.1",), {"cpu": 2000, "memory": 4 << 30})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NO)", "$(NO)"),
        ("$$(A)", "$(A)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$$$(A)", "$1"),
        ("$()", "$()"),
        ("", ""),
        ("$", "$"),
    ],
)
def test_expand(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


def pod(**container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"b": 'q"', "a": "1"}, "annotations": {}},
        "spec": {"nodeName": "node1", "serviceAccountName": "sa", "containers": [{"name": "c", **container}]},
    }


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("metadata.name", "p"),
        ("metadata.uid", "u"),
        ("metadata.labels['a']", "1"),
        ("metadata.labels['z']", ""),
        ("metadata.labels", 'a="1"\nb="q\\""'),
        ("spec.host", "node1"),
        ("spec.nodeName", "node1"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "10.0.0.1"),
        ("status.podIPs", "10.0.0.1,fd00::1"),
        ("status.hostIP", "192.0.2.1"),
    ],
)
def test_field_value(path: str, result: str) -> None:
    assert field_value(pod(), path, ["10.0.0.1", "fd00::1"], NODE) == result


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="unsupported fieldPath"):
        field_value(pod(), "spec.secret", [], NODE)


@pytest.mark.parametrize(
    ("resource", "divisor", "result"),
    [
        ("limits.cpu", "1", "1"),
        ("limits.cpu", "1m", "500"),
        ("requests.cpu", "1m", "0"),
        ("limits.memory", "1Mi", "64"),
        ("limits.memory", "0", str(64 << 20)),
        ("requests.memory", "1", "0"),
    ],
)
def test_resource_value(resource: str, divisor: str, result: str) -> None:
    limited = pod(resources={"limits": {"cpu": "500m", "memory": "64Mi"}})
    assert resource_value(limited, {"resource": resource, "divisor": divisor}, "c", NODE) == result


def test_an_unset_limit_is_what_the_node_can_give() -> None:
    assert resource_value(pod(), {"resource": "limits.cpu"}, "c", NODE) == "2"
    assert resource_value(pod(), {"resource": "limits.memory", "divisor": "1Gi"}, "c", NODE) == "4"
    nothing = pod(resources={"limits": {"cpu": "0", "memory": "0"}, "requests": {"cpu": "0"}})
    assert resource_value(nothing, {"resource": "limits.cpu"}, "c", NODE) == "2", "zero is no limit"
    assert resource_value(nothing, {"resource": "requests.cpu"}, "c", NODE) == "0"


def made(
    container: dict[str, Any], references: References | None = None, services: dict[str, str] | None = None
) -> Any:
    wanted = pod(**container)
    return render(
        wanted,
        wanted["spec"]["containers"][0],
        ips=["10.0.0.1"],
        node=NODE,
        services=services or {},
        references=references or References(),
    )


def test_later_values_win_and_may_refer_to_earlier_ones() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(S)"}, {"name": "A", "value": "$(B)"}]
    assert made({"env": env}, services={"S": "s", "A": "service"}) == {"S": "s", "A": "1s", "B": "1s"}


SECRETS = References(
    {"m": {"data": {"k": "v", "1.a": "x"}}, "none": None}, {"s": {"data": {"k": base64.b64encode(b"w").decode()}}}
)


def test_values_from_config_maps_and_secrets() -> None:
    container = {
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "m"}},
            {"secretRef": {"name": "s"}},
            {"configMapRef": {"name": "none", "optional": True}},
        ],
        "env": [
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "Y", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "no", "optional": True}}},
        ],
    }
    assert referenced(container) == ({"m", "none"}, {"s"})
    assert made(container, SECRETS) == {"P_k": "v", "P_1.a": "x", "k": "w", "X": "w"}
    assert made({"envFrom": [{"configMapRef": {"name": "m"}}]}, SECRETS) == {"k": "v", "1.a": "x"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, 'configmap "none" not found'),
        ({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "z", "key": "k"}}}]}, 'secret "z" not found'),
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "q"}}}]},
            "couldn't find key q in ConfigMap n/m",
        ),
    ],
)
def test_what_is_missing_is_named(container: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigProblem) as refused:
        made(container, SECRETS)
    assert str(refused.value) == message


def service(name: str, namespace: str, ip: str = "10.96.0.7") -> dict[str, Any]:
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "d-n-s", "port": 53, "protocol": "UDP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": ports}}


def test_service_links() -> None:
    services = [
        service("redis-master", "n"),
        service("other", "m"),
        service("head", "n", "None"),
        service("kubernetes", "default", "10.96.0.1"),
    ]
    found = service_variables(services, "n", links=True)
    assert found["REDIS_MASTER_SERVICE_HOST"] == "10.96.0.7" and found["REDIS_MASTER_SERVICE_PORT"] == "80"
    assert found["REDIS_MASTER_SERVICE_PORT_D_N_S"] == "53"
    assert found["REDIS_MASTER_PORT"] == found["REDIS_MASTER_PORT_80_TCP"] == "tcp://10.96.0.7:80"
    assert found["REDIS_MASTER_PORT_53_UDP_PROTO"] == "udp" and "KUBERNETES_SERVICE_HOST" in found
    assert not any(key.startswith(("OTHER", "HEAD")) for key in found)
    assert {key.split("_")[0] for key in service_variables(services, "n", links=False)} == {"KUBERNETES"}
