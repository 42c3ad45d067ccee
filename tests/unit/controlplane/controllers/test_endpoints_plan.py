"""What the Endpoints of a Service list: upstream's endpoints-controller, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.controllers.endpoints_plan import compute_subsets, plan_endpoints, truncate_subsets
from tests.unit.controlplane.controllers.objects_for_controllers import pod

Object = dict[str, Any]

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
HEADLESS = "service.kubernetes.io/headless"
HTTP = {"port": 8080, "protocol": "TCP"}


def service(**spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-svc", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "clusterIP": "10.96.0.7",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
            **spec,
        },
    }


def shape(subsets: list[Object]) -> list[tuple[list[str], list[str], list[int]]]:
    """Ready addresses, others, ports."""
    return [
        (
            [each["ip"] for each in subset.get("addresses", ())],
            [each["ip"] for each in subset.get("notReadyAddresses", ())],
            [port["port"] for port in subset.get("ports", ())],
        )
        for subset in subsets
    ]


def serving(name: str, ip: str, port: int) -> Object:
    ports = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    return pod(name, ready=True, ip=ip, containers=[{"name": "m", "ports": ports}])


def dual(name: str, *ips: str) -> Object:
    made = pod(name, ready=True, ip=ips[0])
    made["status"]["podIPs"] = [{"ip": ip} for ip in ips]
    return made


NAMED = {"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}
NUMBERED = {"name": "metrics", "port": 9090, "targetPort": 9090, "protocol": "TCP"}
TWO = [serving("a", "10.0.0.1", 80), serving("b", "10.0.0.2", 8080)]


@pytest.mark.parametrize(
    ("spec", "selected", "wanted"),
    [
        pytest.param(
            {}, [pod("a", ready=True, ip="10.0.0.1"), pod("b", ip="10.0.0.2")],
            [(["10.0.0.1"], ["10.0.0.2"], [8080])], id="ready and not"),
        pytest.param(
            {}, [pod("a", ready=True, ip="10.0.0.9"), pod("b", ready=True, ip="10.0.0.10")],
            [(["10.0.0.10", "10.0.0.9"], [], [8080])], id="sorted by the address as text"),
        pytest.param({}, [pod("a", ready=True, deleting=True)], [], id="terminating"),
        pytest.param({}, [pod("a", ip=None), pod("b", phase="Failed"), pod("c", phase="Succeeded")], [],
                     id="without address, failed, succeeded"),
        pytest.param(
            {"publishNotReadyAddresses": True},
            [pod("a", ip="10.0.0.1"), pod("b", ip="10.0.0.2", deleting=True), pod("c", phase="Failed")],
            [(["10.0.0.1", "10.0.0.2"], [], [8080])], id="published though not ready or terminating"),
        pytest.param({"ports": [NAMED]}, TWO, [(["10.0.0.1"], [], [80]), (["10.0.0.2"], [], [8080])],
                     id="a named port of two numbers"),
        pytest.param(
            {"ports": [NAMED, NUMBERED]}, TWO,
            [(["10.0.0.1", "10.0.0.2"], [], [9090]), (["10.0.0.1"], [], [80]), (["10.0.0.2"], [], [8080])],
            id="the port that all serve has a subset of all"),
        pytest.param({"ports": [NAMED]}, [pod("a", ready=True)], [], id="no container has the named port"),
        pytest.param({"clusterIP": "None", "ports": []}, [pod("a", ready=True, ip="10.0.0.1")],
                     [(["10.0.0.1"], [], [])], id="headless without ports"),
        pytest.param({"ports": []}, [pod("a", ready=True, ip="10.0.0.1")], [], id="no ports, not headless"),
        pytest.param({"ipFamilies": ["IPv6", "IPv4"]}, [dual("a", "10.0.0.1", "fd00::1"), dual("b", "10.0.0.2")],
                     [(["fd00::1"], [], [8080])], id="the first family only"),
    ],
)  # fmt: skip
def test_subsets(spec: Object, selected: list[Object], wanted: list[Any]) -> None:
    assert shape(compute_subsets(service(**spec), selected)) == wanted


def test_an_address_names_pod_node_and_host() -> None:
    named = pod("db-0", ready=True, ip="10.0.0.1", hostname="db-0", subdomain="web")
    (subset,) = compute_subsets(service(), [named])
    target = {"kind": "Pod", "namespace": "default", "name": "db-0", "uid": "uid-db-0"}
    assert subset == {
        "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "hostname": "db-0", "targetRef": target}],
        "ports": [HTTP],
    }


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        pytest.param([(600, 400)], [(600, 400)], id="just as many as may be"),
        pytest.param([(600, 500)], [(600, 400)], id="ready ones first"),
        pytest.param([(1100, 7)], [(1000, 0)], id="ready ones are too many"),
        pytest.param([(900, 3), (600, 3)], [(600, 0), (400, 0)], id="each subset its share"),
        pytest.param([(400, 301), (400, 100)], [(400, 151), (400, 49)], id="shares are rounded up"),
        pytest.param([(1200, 0), (0, 5)], [(1000, 0)], id="a subset that nothing is left of goes"),
    ],
)
def test_a_thousand_at_most(counts: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    subsets = [
        {kind: [{"ip": str(n)} for n in range(count)] for kind, count in zip(KINDS, pair, strict=True) if count}
        for pair in counts
    ]
    cut, truncated = truncate_subsets(subsets)
    assert [tuple(len(each.get(kind, ())) for kind in KINDS) for each in cut] == kept
    assert truncated == (counts != kept)


KINDS = ("addresses", "notReadyAddresses")


def plan(current: Object | None, *selected: Object, last_change: str = "", **spec: Any) -> Object | None:
    return plan_endpoints(service(**spec), current, selected, last_change)


def test_labels_are_the_services_and_headless_is_told() -> None:
    made = plan(None, clusterIP="None")
    assert made is not None
    assert made["metadata"] == {"name": "web", "namespace": "default", "labels": {"team": "a", HEADLESS: ""}}
    assert plan(made, clusterIP="None") is None
    changed = plan(made)
    assert changed is not None
    assert changed["metadata"]["labels"] == {"team": "a"}


def test_the_time_of_the_last_change_comes_and_goes_with_a_write() -> None:
    made = plan(None, pod("a", ready=True), last_change="2025-06-01T11:59:00Z")
    assert made is not None
    assert made["metadata"]["annotations"] == {LAST_CHANGE: "2025-06-01T11:59:00Z"}
    assert plan(made, pod("a", ready=True), last_change="2025-06-01T12:00:00Z") is None, "no reason to write"
    made["metadata"]["annotations"]["mine"] = "kept"
    changed = plan(made)
    assert changed is not None
    assert changed["metadata"]["annotations"] == {"mine": "kept"}


def test_too_many_are_annotated_once() -> None:
    many = [pod(f"p{n}", ready=True, ip=f"10.0.{n // 250}.{n % 250}") for n in range(1001)]
    made = plan(None, *many)
    assert made is not None
    assert made["metadata"]["annotations"] == {OVER_CAPACITY: "truncated"}
    assert plan(made, *many) is None
    fewer = plan(made, *many[:1000])
    assert fewer is not None
    assert "annotations" not in fewer["metadata"]
