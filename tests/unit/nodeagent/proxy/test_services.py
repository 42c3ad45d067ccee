"""API objects → service ports and endpoints; what does not parse never arrives."""

from typing import Any

import pytest

from nodeagent.proxy.services import Endpoint, endpoints, service_ports


def service(**spec: Any) -> dict[str, Any]:
    base = {"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": 80}]}
    return {"metadata": {"namespace": "default", "name": "web"}, "spec": {**base, **spec}}


def test_a_plain_service() -> None:
    [port] = service_ports(service(), 4)
    assert (port.name, port.protocol, port.cluster_ip, port.port) == ("default/web:http", "tcp", "10.96.0.9", 80)
    assert not port.externally_accessible and port.uses_cluster_endpoints and not port.uses_local_endpoints


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {"type": "ExternalName"},
        {"clusterIP": "fd00::1"},
        {"clusterIP": "10.96.0.9 -j ACCEPT"},
        {"ports": [{"port": 0}]},
        {"ports": [{"port": "80"}]},
        {"ports": [{"port": True}]},
        {"ports": [{"port": 80, "protocol": "ICMP"}]},
        {"ports": [{"port": 80, "name": 'x" -j ACCEPT'}]},
    ],
)
def test_not_proxied(spec: dict[str, Any]) -> None:
    assert service_ports(service(**spec), 4) == []


@pytest.mark.parametrize("label", ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"])
def test_a_service_that_a_label_takes_away_is_left_alone(label: str) -> None:
    body = service()
    body["metadata"]["labels"] = {label: ""}
    assert service_ports(body, 4) == []


@pytest.mark.parametrize(("config", "seconds"), [({}, 10800), ({"clientIP": {"timeoutSeconds": 5}}, 5)])
def test_affinity(config: dict[str, Any], seconds: int) -> None:
    [port] = service_ports(service(sessionAffinity="ClientIP", sessionAffinityConfig=config), 4)
    assert port.sticky_seconds == seconds


def test_both_families_have_their_own_addresses() -> None:
    body = service(clusterIPs=["10.96.0.9", "fd00::9"], externalIPs=["192.0.2.5", "2001:db8::5"])
    assert service_ports(body, 4)[0].external_ips == ("192.0.2.5",)
    assert service_ports(body, 6)[0].cluster_ip == "fd00::9"


def slice_of(*entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-1", "namespace": "default"},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": list(entries),
        **fields,
    }


def found(*slices: dict[str, Any]) -> list[Endpoint]:
    return endpoints(slices, "node-1", 4).get(("http", "tcp"), [])


def test_conditions_that_are_not_said_mean_ready() -> None:
    [endpoint] = found(slice_of({"addresses": ["10.244.1.2"], "nodeName": "node-1"}))
    assert endpoint == Endpoint("10.244.1.2", 8080, ready=True, serving=True, terminating=False, local=True)


@pytest.mark.parametrize(
    ("conditions", "serving"),
    [({"ready": False}, True), ({"ready": False, "serving": False}, False), ({"ready": False, "serving": True}, True)],
)
def test_serving_that_is_not_said_is_true_whatever_ready_says(conditions: dict[str, bool], serving: bool) -> None:
    conditions = {**conditions, "terminating": True}
    [endpoint] = found(slice_of({"addresses": ["10.244.1.2"], "conditions": conditions}))
    assert (endpoint.ready, endpoint.serving, endpoint.terminating) == (False, serving, True)


@pytest.mark.parametrize(
    ("text", "address"), [("010.0.00.1", "10.0.0.1"), ("192.0.2.008", "192.0.2.8"), ("0.0.0.0", "0.0.0.0")]
)
def test_leading_zeros_are_let_through_as_the_api_lets_them(text: str, address: str) -> None:
    """A source range that got lost would open a balancer's address to everybody."""
    ranges = [f"{text}/32", "010.0.0.0/8 "]
    body = service(type="LoadBalancer", clusterIP="010.96.0.9", externalIPs=[text], loadBalancerSourceRanges=ranges)
    [port] = service_ports(body, 4)
    assert (port.cluster_ip, port.external_ips) == ("10.96.0.9", (address,))
    assert port.source_ranges == (f"{address}/32", "10.0.0.0/8")


def test_ipv4_written_in_ipv6_is_ipv4() -> None:
    ranges = ["::ffff:10.0.0.0/104", "::ffff:192.0.2.1/128", "2001:db8::/64", "::/0"]
    body = service(externalIPs=["::ffff:192.0.2.5"], loadBalancerSourceRanges=ranges)
    body["spec"]["clusterIPs"] = ["10.96.0.9", "fd00::9"]
    four, six = service_ports(body, 4)[0], service_ports(body, 6)[0]
    assert (four.external_ips, six.external_ips) == (("192.0.2.5",), ())
    assert (four.source_ranges, six.source_ranges) == (("10.0.0.0/8", "192.0.2.1/32"), ("2001:db8::/64", "::/0"))


def test_an_address_in_two_slices_counts_once_and_ready_wins() -> None:
    late = slice_of({"addresses": ["10.244.1.2"], "conditions": {"ready": False}})
    early = {**slice_of({"addresses": ["10.244.1.2"]}), "metadata": {"name": "web-0", "namespace": "default"}}
    assert [endpoint.ready for endpoint in found(late, early)] == [True]
    assert [endpoint.ready for endpoint in found(early, late)] == [True]


def test_an_address_that_one_of_two_slices_puts_on_this_node_is_on_it() -> None:
    here = slice_of({"addresses": ["10.244.1.2"], "nodeName": "node-1"})
    nowhere = {**slice_of({"addresses": ["10.244.1.2"]}), "metadata": {"name": "web-2", "namespace": "default"}}
    assert [endpoint.local for endpoint in found(here, nowhere)] == [True]
    late = slice_of({"addresses": ["10.244.1.2"], "nodeName": "node-1", "conditions": {"ready": False}})
    assert [(endpoint.ready, endpoint.local) for endpoint in found(late, nowhere)] == [(True, False)]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "fd00::1",
        "10.0.0.1/8",
        "x",
        "10.0.0.1%lo",
        "0127.0.0.1",
        None,
    ],
)
def test_addresses_that_are_refused(address: Any) -> None:
    assert found(slice_of({"addresses": [address]})) == []


@pytest.mark.parametrize("address", ["::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"])
def test_addresses_of_ipv6_that_are_refused(address: str) -> None:
    for good, expected in ((address, []), ("fd00::1", ["fd00::1"])):
        one = slice_of({"addresses": [good]}, addressType="IPv6")
        assert [each.ip for each in endpoints([one], "node-1", 6).get(("http", "tcp"), [])] == expected
