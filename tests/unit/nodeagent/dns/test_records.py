"""The Kubernetes DNS specification 1.1.0, record by record."""

import ipaddress
from dataclasses import replace

import pytest

from apimachinery.cache.lister import Lister
from nodeagent.dns import message
from nodeagent.dns.indexes import (
    BY_ADDRESS,
    BY_SERVICE,
    pod_addresses,
    service_addresses,
    slice_addresses,
    slice_service,
)
from nodeagent.dns.message import (
    AAAA,
    ANY,
    AXFR,
    CNAME,
    IXFR,
    MX,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    SOA,
    SRV,
    TXT,
    A,
    Answer,
    parse_name,
)
from nodeagent.dns.records import ClusterRecords
from nodeagent.dns.settings import Kubernetes

HTTP = {"name": "http", "port": 80, "protocol": "TCP"}


def _service(name: str, ip: str | None, **spec: object) -> dict:
    cluster = {} if ip is None else {"clusterIP": ip, "clusterIPs": [ip]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {**cluster, "ports": [HTTP], **spec}}


def _pod(name: str, ip: str, phase: str) -> dict:
    return {"metadata": {"name": name, "namespace": "default"}, "status": {"phase": phase, "podIPs": [{"ip": ip}]}}


def _slice(name: str, service: str, *endpoints: dict) -> dict:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv6" if ":" in endpoints[0]["addresses"][0] else "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


SETTINGS = Kubernetes((("cluster", "local"),), ttl=30, pods="insecure")


def build(zone: tuple[str, ...] = ("cluster", "local"), **settings: object) -> ClusterRecords:
    services, slices, namespaces = Lister(), Lister(), Lister()
    services.add_index(BY_ADDRESS, service_addresses)
    slices.add_index(BY_SERVICE, slice_service)
    slices.add_index(BY_ADDRESS, slice_addresses)
    namespaces.put({"metadata": {"name": "default"}})
    namespaces.put({"metadata": {"name": "closed"}})
    pods = Lister()
    pods.add_index(BY_ADDRESS, pod_addresses)
    pods.put(_pod("p", "10.1.2.3", "Running"))
    pods.put(_pod("q", "10.1.2.4", "Succeeded"))
    services.put(_service("web", "10.96.0.50"))
    services.put(_service("two", "10.96.0.51", clusterIPs=["10.96.0.51", "fd00::51"]))
    services.put(_service("nameless", "10.96.0.52", ports=[{"port": 80}]))
    services.put(_service("pointer", None, type="ExternalName", externalName="192.0.2.1"))
    slices.put(_slice("two-x", "two", {"addresses": ["fd00::9"], "targetRef": {"kind": "Pod", "name": "two-0"}}))
    long = {"addresses": ["10.244.2.9"], "targetRef": {"kind": "Pod", "name": "p" * 64}}
    services.put(_service("long", "None"))
    slices.put(_slice("long-x", "long", long))
    services.put(_service("db", "None"))
    services.put(_service("empty", "None"))
    services.put(_service("eager", "None", publishNotReadyAddresses=True))
    services.put(_service("away", None, type="ExternalName", externalName="Example.test"))
    ready = {"addresses": ["10.244.1.2"], "hostname": "db-0", "conditions": {"ready": True}}
    unknown = {"addresses": ["10.244.1.3"], "conditions": {}}
    unready = {"addresses": ["10.244.1.4"], "conditions": {"ready": False}}
    ending = {"addresses": ["10.244.1.5"], "conditions": {"ready": False, "serving": True, "terminating": True}}
    slices.put(_slice("db-x", "db", ready, unknown, unready, ending))
    slices.put(_slice("eager-x", "eager", unready))
    return ClusterRecords(
        zone, services, slices, namespaces, settings=replace(SETTINGS, **settings), serial=lambda: 1,
        pods=pods, home=("cluster", "local"),
    )  # fmt: skip


@pytest.fixture
def records() -> ClusterRecords:
    return build()


def _data(record: message.Record) -> object:
    if record.type in (A, AAAA):
        assert isinstance(record.data, bytes)
        return str(ipaddress.ip_address(record.data))
    return record.data


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
                (0, 50, 8080, parse_name("db-0.db.default.svc.cluster.local")),
                (0, 50, 8080, parse_name("10-244-1-3.db.default.svc.cluster.local")),
            ],
            id="2.4.2 SRV of a headless Service",
        ),
        pytest.param(
            "db-0.db.default.svc.cluster.local",
            SRV,
            [(0, 100, 8080, parse_name("db-0.db.default.svc.cluster.local"))],
            id="SRV of an endpoint's own name",
        ),
        pytest.param(
            "_http._tcp.two.default.svc.cluster.local",
            SRV,
            [(0, 50, 80, parse_name("two.default.svc.cluster.local"))],
            id="SRV of two families",
        ),
        pytest.param("_http._tcp.web.default.svc.cluster.local", A, ["10.96.0.50"], id="addresses of a port"),
        pytest.param(
            "_http._tcp.db.default.svc.cluster.local", A, ["10.244.1.2", "10.244.1.3"], id="of endpoints that have it"
        ),
        pytest.param("http.tcp.web.default.svc.cluster.local", A, ["10.96.0.50"], id="without underscores"),
        pytest.param("away.default.svc.cluster.local", SRV, [(0, 100, 0, ("example", "test"))], id="SRV of an alias"),
        pytest.param("two.default.svc.cluster.local", AAAA, ["fd00::51"], id="the other family"),
        pytest.param("two.default.svc.cluster.local", A, ["10.96.0.51"], id="of two families"),
        pytest.param("fd00--9.two.default.svc.cluster.local", AAAA, ["fd00::9"], id="an endpoint"),
        pytest.param("fd00--7.default.pod.cluster.local", AAAA, ["fd00::7"], id="2.6 pod of IPv6"),
        pytest.param(
            "nameless.default.svc.cluster.local",
            SRV,
            [(0, 100, 80, parse_name("nameless.default.svc.cluster.local"))],
            id="SRV of the bare name",
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
    assert {record.ttl for record in answer.records} == {28800 if qtype == TXT else 30}


@pytest.mark.parametrize(
    ("name", "qtype", "rcode"),
    [
        pytest.param("web.default.svc.cluster.local", AAAA, NOERROR, id="no such type"),
        pytest.param("default.svc.cluster.local", A, NOERROR, id="a namespace"),
        pytest.param("svc.cluster.local", A, NOERROR, id="svc"),
        pytest.param("_tcp.web.default.svc.cluster.local", SRV, NOERROR, id="a protocol alone"),
        pytest.param("web.default.svc.cluster.local", ANY, NOERROR, id="everything there is"),
        pytest.param("away.default.svc.cluster.local", ANY, NOERROR, id="everything there is of an alias"),
        pytest.param("away.default.svc.cluster.local", MX, NOERROR, id="an alias for addresses and texts alone"),
        pytest.param("none.default.svc.cluster.local", ANY, NXDOMAIN, id="everything of nothing"),
        pytest.param("_ftp._tcp.db.default.svc.cluster.local", A, NXDOMAIN, id="endpoints without such a port"),
        pytest.param("_http._udp.db.default.svc.cluster.local", A, NXDOMAIN, id="of another protocol"),
        pytest.param("none.default.svc.cluster.local", A, NXDOMAIN, id="no such service"),
        pytest.param("web.none.svc.cluster.local", A, NXDOMAIN, id="no such namespace"),
        pytest.param("empty.default.svc.cluster.local", A, NXDOMAIN, id="headless without endpoints"),
        pytest.param("x.web.default.svc.cluster.local", A, NXDOMAIN, id="below a cluster address"),
        pytest.param("_ftp._tcp.web.default.svc.cluster.local", SRV, NXDOMAIN, id="no such port"),
        pytest.param("10-1-2.default.pod.cluster.local", A, NXDOMAIN, id="no address"),
        pytest.param("web.cluster.local", A, NXDOMAIN, id="anything else"),
        pytest.param("pointer.default.svc.cluster.local", A, NXDOMAIN, id="an alias that is an address"),
        pytest.param("_x._tcp.nameless.default.svc.cluster.local", SRV, NXDOMAIN, id="a port without a name"),
    ],
)
def test_what_there_is_not(records: ClusterRecords, name: str, qtype: int, rcode: int) -> None:
    answer = records.answer(parse_name(name), qtype)
    assert (answer.rcode, answer.records) == (rcode, ())
    assert [record.type for record in answer.authority] == [SOA]


@pytest.mark.parametrize("qtype", [A, AAAA, CNAME, TXT, SRV, MX])
def test_an_alias_that_no_message_can_hold(records: ClusterRecords, qtype: int) -> None:
    """Kubernetes lets an externalName's labels be as long as the whole; written, they would be pointers."""
    for label in ("x" * 64, "x" * 200):
        records._services.put(_service("odd", None, type="ExternalName", externalName=f"{label}.test"))
        answer = records.answer(parse_name("odd.default.svc.cluster.local"), qtype)
        assert answer == Answer(SERVFAIL, authoritative=False)


@pytest.mark.parametrize("qtype", [AXFR, IXFR])
@pytest.mark.parametrize("name", ["cluster.local", "web.default.svc.cluster.local", "none.default.svc.cluster.local"])
def test_the_zone_is_handed_to_nobody(records: ClusterRecords, name: str, qtype: int) -> None:
    assert records.answer(parse_name(name), qtype) == Answer(REFUSED, authoritative=False)


def test_the_zones_server_is_the_service_that_leads_to_it() -> None:
    records = build()
    assert records.answer(parse_name("cluster.local"), NS).additional == ()
    service = {"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {"clusterIP": "10.96.0.10"}}
    records._services.put(service)
    records._namespaces.put({"metadata": {"name": "kube-system"}})
    answer = records.answer(parse_name("cluster.local"), NS)
    server = parse_name("kube-dns.kube-system.svc.cluster.local")
    assert [record.data for record in answer.records] == [server]
    assert [(record.name, _data(record)) for record in answer.additional] == [(server, "10.96.0.10")]


def test_targets_are_in_the_zone_that_was_asked() -> None:
    """`kubernetes cluster.local second.test`: one who knows the second zone may not know the first."""
    for zone in (("cluster", "local"), ("second", "test")):
        for service, target in (("web", "web"), ("db", "db-0.db")):
            answer = build(zone).answer((service, "default", "svc", *zone), SRV)
            name = parse_name(f"{target}.default.svc.{'.'.join(zone)}")
            assert name in [record.data[3] for record in answer.records]
            assert name in [record.name for record in answer.additional]


def test_srv_brings_its_addresses(records: ClusterRecords) -> None:
    answer = records.answer(parse_name("_http._tcp.db.default.svc.cluster.local"), SRV)
    assert sorted(str(_data(record)) for record in answer.additional) == ["10.244.1.2", "10.244.1.3"]


@pytest.mark.parametrize(
    ("address", "target"),
    [
        pytest.param("10.96.0.50", "web.default.svc.cluster.local", id="2.3.3 cluster address"),
        pytest.param("10.244.1.2", "db-0.db.default.svc.cluster.local", id="2.4.3 endpoint"),
        pytest.param("fd00::51", "two.default.svc.cluster.local", id="IPv6"),
        pytest.param("10.244.1.4", "10-244-1-4.eager.default.svc.cluster.local", id="publishNotReadyAddresses alone"),
    ],
)
def test_reverse(address: str, target: str) -> None:
    name = parse_name(ipaddress.ip_address(address).reverse_pointer)
    answer = build(name[-2:]).answer(name, PTR)
    assert [(record.type, record.data) for record in answer.records] == [(PTR, parse_name(target))]


def test_reverse_of_what_is_not_ready() -> None:
    """spec 2.4.3 speaks of ready endpoints; without endpoints (`noendpoints`) there are none."""
    unready = ipaddress.ip_address("10.244.1.5").reverse_pointer
    assert build(("in-addr", "arpa")).answer(parse_name(unready), PTR).rcode == NXDOMAIN
    ready = ipaddress.ip_address("10.244.1.2").reverse_pointer
    assert build(("in-addr", "arpa"), endpoints=False).answer(parse_name(ready), PTR).rcode == NXDOMAIN


@pytest.mark.parametrize("name", ["1.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa", "x.2.0.192.in-addr.arpa"])
def test_reverse_of_a_stranger(name: str) -> None:
    assert build(("in-addr", "arpa")).answer(parse_name(name), PTR).rcode == NXDOMAIN


@pytest.mark.parametrize(
    ("settings", "name", "rcode"),
    [
        pytest.param({"pods": "disabled"}, "10-1-2-3.default.pod", NXDOMAIN, id="pods disabled"),
        pytest.param({"pods": "verified"}, "10-1-2-3.default.pod", NOERROR, id="pods verified"),
        pytest.param({"pods": "verified"}, "10-1-2-3.closed.pod", NXDOMAIN, id="a pod of another namespace"),
        pytest.param({"pods": "verified"}, "10-1-2-4.default.pod", NXDOMAIN, id="a pod that has ended"),
        pytest.param({"namespaces": frozenset({"closed"})}, "web.default.svc", NXDOMAIN, id="a namespace not exposed"),
        pytest.param({"ignore_empty": True}, "web.default.svc", NXDOMAIN, id="ignore empty_service"),
        pytest.param({"ignore_empty": True}, "two.default.svc", NOERROR, id="ignore empty_service, with endpoints"),
        pytest.param({"pod_names": True}, "two-0.two.default.svc", NOERROR, id="endpoint_pod_names"),
        pytest.param({"pod_names": True}, "10-244-2-9.long.default.svc", NOERROR, id="of a pod whose name is no label"),
        pytest.param({"endpoints": False}, "db.default.svc", NXDOMAIN, id="noendpoints"),
    ],
)
def test_options(settings: dict, name: str, rcode: int) -> None:
    assert build(**settings).answer(parse_name(f"{name}.cluster.local"), A).rcode == rcode
