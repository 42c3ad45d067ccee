"""Addresses wherever they are given: Endpoints, EndpointSlices, CIDRs; and whose problems are told of first."""

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.validation import validate_create, validate_update
from apimachinery.api.validation.checks import cidr, ordinary_ip
from apimachinery.meta.addresses import parse_cidr, parse_ip
from apimachinery.meta.paths import Path


def _resource(api_version, kind):
    found = CATALOGUE.by_kind(api_version, kind)
    assert found is not None
    return found


ENDPOINTS = _resource("v1", "Endpoints")
SLICE = _resource("discovery.k8s.io/v1", "EndpointSlice")
SERVICE = _resource("v1", "Service")
CONFIG = _resource("v1", "ConfigMap")
SECRET = _resource("v1", "Secret")
CLASS = _resource("networking.k8s.io/v1", "IngressClass")
CRON = _resource("batch/v1", "CronJob")
_DOMAIN = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"


def _object(resource, /, **fields):
    metadata = {"name": "a", "resourceVersion": "1", **fields.pop("metadata", {})}
    if resource.namespaced:
        metadata["namespace"] = "default"
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
    defaults.apply(resource, body)
    return body


def _texts(problems):
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ({"addresses": [{"ip": "10.0.0.1", "nodeName": "n1"}], "ports": [{"port": 80, "appProtocol": "http"}]}, []),
        ({}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
        (
            {"addresses": [{"ip": "x"}]},
            [
                f'subsets[0].addresses[0].ip: Invalid value: "x": {_DOMAIN}',
                'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address',
            ],
        ),
        (
            {"notReadyAddresses": [{"ip": "127.0.0.1"}]},
            [f'subsets[0].notReadyAddresses[0].ip: Invalid value: "127.0.0.1": {_LOOPBACK}'],
        ),
        (
            {"addresses": [{"ip": "::ffff:127.0.0.1"}]},
            [f'subsets[0].addresses[0].ip: Invalid value: "::ffff:127.0.0.1": {_LOOPBACK}'],
        ),
        (
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"name": "b", "port": 0}]},
            [
                "subsets[0].ports[0].name: Required value",
                "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
    ],
    ids=str,
)
def test_endpoints(subset, expected):
    assert _texts(validate_create(ENDPOINTS, _object(ENDPOINTS, subsets=[subset]))) == expected


def test_endpoints_name_nodes_and_protocols():
    wrong = {
        "addresses": [{"ip": "10.0.0.1", "nodeName": "N_1", "hostname": "a.b"}],
        "ports": [{"port": 80, "appProtocol": "a b", "protocol": "ICMP"}],
    }
    found = validate_create(ENDPOINTS, _object(ENDPOINTS, subsets=[wrong]))
    assert [problem.path for problem in found] == [
        "subsets[0].addresses[0].hostname",
        "subsets[0].addresses[0].nodeName",
        "subsets[0].ports[0].protocol",
        "subsets[0].ports[0].appProtocol",
    ]


def _slice(**fields):
    return _object(SLICE, addressType="IPv4", **fields)


def _with_zones(*zones):
    endpoint = {"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": zone} for zone in zones]}}
    return _slice(endpoints=[endpoint])


def test_a_slice_has_at_most_twenty_thousand_ports():
    ports = [{"name": f"p{number}", "port": 80, "protocol": "TCP"} for number in range(20_001)]
    assert validate_create(SLICE, _slice(ports=ports[:101])) == []
    found = validate_create(SLICE, _slice(ports=ports))
    assert _texts(found) == ["ports: Too many: 20001: must have at most 20000 items"]


def test_hints_name_each_zone_once():
    where = "endpoints[0].hints.forZones"
    assert validate_create(SLICE, _with_zones("a", "b")) == []
    found = _texts(validate_create(SLICE, _with_zones("a", "a", "b c")))
    assert found[0] == f'{where}[1].name: Duplicate value: "a"'
    assert found[1].startswith(f'{where}[2].name: Invalid value: "b c": a valid label must be')
    found = _texts(validate_create(SLICE, _with_zones(*"abcdefghi")))
    assert found == [f"{where}: Too many: 9: must have at most 8 items"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", _LOOPBACK),
        ("127.255.255.254", _LOOPBACK),
        ("::1", _LOOPBACK),
        ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
    ],
)
def test_the_nodes_own_addresses_are_no_endpoints(address, words):
    family = "IPv6" if ":" in address else "IPv4"
    found = validate_create(SLICE, _object(SLICE, addressType=family, endpoints=[{"addresses": [address]}]))
    assert _texts(found) == [f'endpoints[0].addresses[0]: Invalid value: "{address}": {words}']


def test_an_ipv4_address_in_ipv6_is_no_ipv6_address():
    endpoint = {"addresses": ["::ffff:10.0.0.1"]}
    found = validate_create(SLICE, _object(SLICE, addressType="IPv6", endpoints=[endpoint]))
    assert _texts(found) == [
        'endpoints[0].addresses[0]: Invalid value: "::ffff:10.0.0.1": must be a valid IPv6 address'
    ]


@pytest.mark.parametrize("text", ["10.1.2.3/8", "010.0.0.0/08", "::/0", "2001:db8::/64", "::ffff:1.2.3.0/120"])
def test_cidrs(text):
    assert parse_cidr(text) is not None
    assert cidr(text, Path("c")) == []


@pytest.mark.parametrize(
    "text",
    [
        *("10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1"),
        *("::/129", "fe80::%1/64", " 10.0.0.0/8", "10.0.0.0/+8", "10.0.0/8", "/8", "", "10.0.0.0/8/8"),
        "10.0.0.0/" + "9" * 5000,
    ],
)
def test_what_is_no_cidr(text):
    assert _texts(cidr(text, Path("c"))) == [f'c: Invalid value: "{text}": {_CIDR}']


def test_addresses_have_no_zone():
    assert parse_ip("fe80::1%eth0") is None
    assert _texts(ordinary_ip("0::0", Path("ip"))) == ['ip: Invalid value: "0::0": may not be unspecified (0::0)']


def _service(**spec):
    return _object(SERVICE, spec={"ports": [{"port": 80}], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], **spec})


@pytest.mark.parametrize(
    ("resource", "new", "old", "expected"),
    [
        (
            SERVICE,
            _service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"], ports=[]),
            _service(),
            ["spec.clusterIPs[0]", "spec.ports"],
        ),
        (
            SECRET,
            _object(SECRET, type="kubernetes.io/tls", data={"k": ""}),
            _object(SECRET, immutable=True),
            ["type", "immutable", "data", "data[tls.crt]", "data[tls.key]"],
        ),
        (
            CONFIG,
            _object(CONFIG, data={"a b": "c"}, metadata={"labels": {"a": "b c"}}),
            _object(CONFIG, immutable=True),
            ["metadata.labels", "immutable", "data", "data[a b]"],
        ),
        (
            CLASS,
            _object(CLASS, spec={"controller": "b"}),
            _object(CLASS, spec={"controller": "a.io/b"}),
            ["spec.controller", "spec.controller"],
        ),
    ],
    ids=["Service", "Secret", "ConfigMap", "IngressClass"],
)
def test_what_a_change_may_not_do_is_told_first(resource, new, old, expected):
    found = validate_update(resource, new, old)
    assert [problem.path for problem in found] == expected
    assert "immutable" in found[-2].message or resource is not CLASS


def test_metadata_is_judged_before_its_change():
    old, new = _object(CONFIG), _object(CONFIG, metadata={"labels": {"a": "b c"}, "uid": "other"})
    assert [problem.path for problem in validate_update(CONFIG, new, old)] == ["metadata.labels", "metadata.uid"]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, []),
        ("Europe/Berlin", []),
        ("", ["timeZone must be nil or non-empty string"]),
        ("Local", ["timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"]),
        (
            "local",
            [
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
                "unknown time zone local",
            ],
        ),
        ("Mars/Base", ["unknown time zone Mars/Base"]),
    ],
)
def test_time_zones_of_cron_jobs(zone, expected):
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}
    spec = {"schedule": "* * * * *", "timeZone": zone, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    found = validate_create(CRON, _object(CRON, spec=spec))
    assert _texts(found) == [f'spec.timeZone: Invalid value: "{zone}": {text}' for text in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b.", []),
        ("", ["Required value"]),
        ("a", ['Invalid value: "a": should be a domain with at least two segments separated by dots']),
        (f"{'a' * 64}.b.", [f'Invalid value: "{"a" * 64}": must be no more than 63 characters']),
    ],
)
def test_domains_in_a_slice(text, expected):
    found = _texts(validate_create(SLICE, _object(SLICE, addressType="FQDN", endpoints=[{"addresses": [text]}])))
    assert found == [f"endpoints[0].addresses[0]: {each}" for each in expected]


def test_an_endpoint_is_judged_in_upstreams_order():
    topology = {"topology.kubernetes.io/zone": "z"} | {f"t{number}": "" for number in range(16)}
    endpoint = {"addresses": ["10.0.0.1"], "nodeName": "N", "hostname": "H", "deprecatedTopology": topology}
    found = validate_create(SLICE, _object(SLICE, addressType="IPv4", endpoints=[endpoint]))
    assert [(problem.path, problem.type) for problem in found] == [
        ("endpoints[0].nodeName", "FieldValueInvalid"),
        ("endpoints[0].deprecatedTopology", "FieldValueTooMany"),
        ("endpoints[0].deprecatedTopology[topology.kubernetes.io/zone]", "InternalError"),
        ("endpoints[0].hostname", "FieldValueInvalid"),
    ]
    assert found[2].message == "Internal error: reserved key was not removed in conversion"
