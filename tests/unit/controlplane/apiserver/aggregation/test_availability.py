"""The Available condition as stored objects tell it, and the addresses behind an APIService."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.aggregation import resolver
from controlplane.apiserver.aggregation.availability import compute_condition, unanswered, with_condition
from controlplane.apiserver.aggregation.resolver import Unresolved

Object = dict[str, Any]

API: Object = {
    "metadata": {"name": "v1.a.io"},
    "spec": {"group": "a.io", "version": "v1", "service": {"name": "s", "namespace": "ns", "port": 443}},
}


def service(**spec: Any) -> Object:
    ports = [{"name": "https", "port": 443}]
    return {"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.9", "ports": ports, **spec}}


def endpoints(*addresses: str, ready: bool | None = True, name: str = "https", family: str = "IPv4") -> Object:
    conditions = {} if ready is None else {"ready": ready}
    listed = [{"addresses": [address], "conditions": conditions} for address in addresses]
    return {"addressType": family, "endpoints": listed, "ports": [{"name": name, "port": 8443}]}


@pytest.mark.parametrize(
    ("found", "slices", "reason", "message"),
    [
        pytest.param(None, [], "ServiceNotFound", 'service/s in "ns" is not present', id="no service"),
        pytest.param(
            service(ports=[{"port": 80}]),
            [endpoints("1.1.1.1")],
            "ServicePortError",
            'service/s in "ns" is not listening on port 443',
            id="another port",
        ),
        pytest.param(service(), [], "EndpointsNotFound", 'cannot find endpoints for service/s in "ns"', id="no slices"),
        *(
            pytest.param(
                service(),
                [each],
                "MissingEndpoints",
                'endpoints for service/s in "ns" have no addresses with port name "https"',
                id=name,
            )
            for name, each in {
                "empty slice": endpoints(),
                "not ready": endpoints("1.1.1.1", ready=False),
                "another port's name": endpoints("1.1.1.1", name="http"),
            }.items()
        ),
    ],
)
def test_conditions(found: Object | None, slices: list[Object], reason: str, message: str) -> None:
    condition = compute_condition(API, found, slices)
    assert condition == {"type": "Available", "status": "False", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("found", "slices"),
    [
        (service(), [endpoints("1.1.1.1", ready=None)]),
        (service(), [endpoints(), endpoints("1.1.1.1")]),
        (service(type="ExternalName", externalName="a.example"), []),
        (service(type="NodePort"), []),
    ],
)
def test_what_only_the_server_itself_can_tell(found: Object, slices: list[Object]) -> None:
    assert compute_condition(API, found, slices) is None


def test_a_local_one_needs_nothing() -> None:
    condition = compute_condition({"metadata": {"name": "v1.apps"}, "spec": {"group": "apps"}}, None, [])
    assert condition is not None and (condition["status"], condition["reason"]) == ("True", "Local")


def test_the_transition_time_is_that_of_the_status() -> None:
    down = {"type": "Available", "status": "False", "reason": "A", "message": "a"}
    first = with_condition(API, down, "t1")
    assert first["status"]["conditions"] == [{**down, "lastTransitionTime": "t1"}] and "status" not in API
    assert with_condition(first, down, "t2") is first
    other = with_condition(first, {**down, "reason": "B"}, "t3")
    assert other["status"]["conditions"][0] == {**down, "reason": "B", "lastTransitionTime": "t1"}
    up = with_condition(other, {**down, "status": "True"}, "t4")
    assert up["status"]["conditions"][0]["lastTransitionTime"] == "t4"


def test_the_clusters_address() -> None:
    assert resolver.cluster_address(service(), 443) == ("10.96.0.9", 443)
    assert resolver.cluster_address(service(type="ExternalName", externalName="a.example"), 444) == ("a.example", 444)
    for wrong, text in (
        (service(clusterIP="None"), 'cannot route to service with ClusterIP "None"'),
        (service(ports=[]), 'no service port 443 found for service "s"'),
        (service(type="Odd"), 'unsupported service type "Odd"'),
    ):
        with pytest.raises(Unresolved, match=text):
            resolver.cluster_address(wrong, 443)


def test_an_endpoints_address() -> None:
    slices = [endpoints("fd00::1", family="IPv6"), endpoints("1.1.1.1", "1.1.1.2"), endpoints("2.2.2.2", name="x")]
    seen = {resolver.endpoint_address(service(ipFamilies=["IPv4"]), slices, 443) for _ in range(60)}
    assert seen == {("1.1.1.1", 8443), ("1.1.1.2", 8443)}
    assert resolver.endpoint_address(service(ipFamilies=["IPv6"]), slices, 443) == ("fd00::1", 8443)
    with pytest.raises(Unresolved, match='no endpoints available for service "s"'):
        resolver.endpoint_address(service(), [endpoints("1.1.1.1", ready=False)], 443)
    with pytest.raises(Unresolved, match='unsupported service type "ExternalName"'):
        resolver.endpoint_address(service(type="ExternalName"), [], 443)


def test_a_server_that_takes_too_long() -> None:
    url = "https://10.96.0.9:443/apis/a.io/v1"
    assert unanswered(url, "") == (
        f'failing or missing response from {url}: Get "{url}": '
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    )
