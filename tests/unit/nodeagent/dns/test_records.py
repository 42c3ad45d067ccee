"""The Kubernetes DNS specification 1.1.0, record by record."""

import pytest

from apimachinery.cache.lister import Lister
from nodeagent.dns import message
from nodeagent.dns.message import AAAA, CNAME, NOERROR, NS, NXDOMAIN, PTR, SOA, SRV, TXT, A, parse_name
from nodeagent.dns.records import (
    BY_ADDRESS,
    BY_SERVICE,
    ClusterRecords,
    service_addresses,
    slice_addresses,
    slice_service,
)

HTTP = {"name": "http", "port": 80, "protocol": "TCP"}


def _service(name: str, ip: str | None, **spec: object) -> dict:
    cluster = {} if ip is None else {"clusterIP": ip, "clusterIPs": [ip]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {**cluster, "ports": [HTTP], **spec}}


def _slice(name: str, service: str, *endpoints: dict) -> dict:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


@pytest.fixture
def records() -> ClusterRecords:
    services, slices, namespaces = Lister(), Lister(), Lister()
    services.add_index(BY_ADDRESS, service_addresses)
    slices.add_index(BY_SERVICE, slice_service)
    slices.add_index(BY_ADDRESS, slice_addresses)
    namespaces.put({"metadata": {"name": "default"}})
    services.put(_service("web", "10.96.0.50"))
    services.put(_service("db", "None"))
    services.put(_service("empty", "None"))
    services.put(_service("eager", "None", publishNotReadyAddresses=True))
    services.put(_service("away", None, type="ExternalName", externalName="Example.test"))
    ready = {"addresses": ["10.244.1.2"], "hostname": "db-0", "conditions": {"ready": True}}
    unknown = {"addresses": ["10.244.1.3"], "conditions": {}}
    unready = {"addresses": ["10.244.1.4"], "conditions": {"ready": False}}
    slices.put(_slice("db-x", "db", ready, unknown, unready))
    slices.put(_slice("eager-x", "eager", unready))
    return ClusterRecords(("cluster", "local"), services, slices, namespaces, ttl=30, pods=True, serial=lambda: 1)


def _data(record: message.Record) -> object:
    return ".".join(map(str, record.data)) if record.type == A else record.data


@pytest.mark.parametrize(
    ("name", "qtype", "data"),
    [
        pytest.param("web.default.svc.cluster.local", A, ["10.96.0.50"], id="2.3.1 cluster address"),
        pytest.param("db.default.svc.cluster.local", A, ["10.244.1.2", "10.244.1.3"], id="2.4.1 ready endpoints"),
        pytest.param("db-0.db.default.svc.cluster.local", A, ["10.244.1.2"], id="2.4.1 by hostname"),
        pytest.param("10-244-1-3.db.default.svc.cluster.local", A, ["10.244.1.3"], id="by dashed address"),
        pytest.param("eager.default.svc.cluster.local", A, ["10.244.1.4"], id="publishNotReadyAddresses"),
        pytest.param(
            "_http._tcp.web.default.svc.cluster.local",
            SRV,
            [(0, 100, 80, parse_name("web.default.svc.cluster.local"))],
            id="2.3.2 SRV",
        ),
        pytest.param(
            "_http._tcp.db.default.svc.cluster.local",
            SRV,
            [
                (0, 100, 8080, parse_name("db-0.db.default.svc.cluster.local")),
                (0, 100, 8080, parse_name("10-244-1-3.db.default.svc.cluster.local")),
            ],
            id="2.4.2 SRV of a headless Service",
        ),
        pytest.param("away.default.svc.cluster.local", CNAME, [("example", "test")], id="2.5 alias"),
        pytest.param("away.default.svc.cluster.local", A, [("example", "test")], id="2.5 alias, asked for an address"),
        pytest.param("10-1-2-3.default.pod.cluster.local", A, ["10.1.2.3"], id="2.6 pod"),
        pytest.param("dns-version.cluster.local", TXT, [b"\x051.1.0"], id="2.2 version"),
        pytest.param("cluster.local", NS, [("ns", "dns", "cluster", "local")], id="the zone's server"),
    ],
)
def test_what_there_is(records: ClusterRecords, name: str, qtype: int, data: list) -> None:
    answer = records.answer(parse_name(name), qtype)
    assert answer.rcode == NOERROR
    assert [_data(record) for record in answer.records] == data
    assert {record.ttl for record in answer.records} == {30}


@pytest.mark.parametrize(
    ("name", "qtype", "rcode"),
    [
        pytest.param("web.default.svc.cluster.local", AAAA, NOERROR, id="no such type"),
        pytest.param("default.svc.cluster.local", A, NOERROR, id="a namespace"),
        pytest.param("svc.cluster.local", A, NOERROR, id="svc"),
        pytest.param("_tcp.web.default.svc.cluster.local", SRV, NOERROR, id="a protocol alone"),
        pytest.param("none.default.svc.cluster.local", A, NXDOMAIN, id="no such service"),
        pytest.param("web.none.svc.cluster.local", A, NXDOMAIN, id="no such namespace"),
        pytest.param("empty.default.svc.cluster.local", A, NXDOMAIN, id="headless without endpoints"),
        pytest.param("x.web.default.svc.cluster.local", A, NXDOMAIN, id="below a cluster address"),
        pytest.param("_ftp._tcp.web.default.svc.cluster.local", SRV, NXDOMAIN, id="no such port"),
        pytest.param("10-1-2.default.pod.cluster.local", A, NXDOMAIN, id="no address"),
        pytest.param("web.cluster.local", A, NXDOMAIN, id="anything else"),
    ],
)
def test_what_there_is_not(records: ClusterRecords, name: str, qtype: int, rcode: int) -> None:
    answer = records.answer(parse_name(name), qtype)
    assert (answer.rcode, answer.records) == (rcode, ())
    assert [record.type for record in answer.authority] == [SOA]


def test_srv_brings_its_addresses(records: ClusterRecords) -> None:
    answer = records.answer(parse_name("_http._tcp.db.default.svc.cluster.local"), SRV)
    assert sorted(str(_data(record)) for record in answer.additional) == ["10.244.1.2", "10.244.1.3"]


@pytest.mark.parametrize(
    ("address", "target"),
    [
        pytest.param("10.96.0.50", "web.default.svc.cluster.local", id="2.3.3 cluster address"),
        pytest.param("10.244.1.2", "db-0.db.default.svc.cluster.local", id="2.4.3 endpoint"),
    ],
)
def test_reverse(records: ClusterRecords, address: str, target: str) -> None:
    answer = records.reverse(address)
    assert answer is not None
    assert [(record.type, record.data) for record in answer.records] == [(PTR, parse_name(target))]


def test_reverse_of_a_stranger(records: ClusterRecords) -> None:
    assert records.reverse("192.0.2.1") is None
