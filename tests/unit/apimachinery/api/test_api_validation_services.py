"""Services and their addresses: what they are refused for."""

import pytest

from apimachinery.api.catalogue import SERVICES
from apimachinery.api.validation import validate_create, validate_update
from apimachinery.api.validation.service_addresses import addresses_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts


def _service(metadata=None, **spec):
    return made(SERVICES, metadata=metadata, spec={"ports": [{"port": 80}], **spec})


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (_service(), []),
        (_service(clusterIP="None", clusterIPs=["None"], ports=[]), []),
        (_service(ports=[]), ["spec.ports: Required value"]),
        (
            _service(type="Bogus"),
            [
                'spec.type: Unsupported value: "Bogus": supported values: "ClusterIP", "ExternalName", '
                '"LoadBalancer", "NodePort"'
            ],
        ),
        (
            _service(ports=[{"port": 0, "targetPort": 1}]),
            ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        ),
        (
            _service(ports=[{"port": 80}, {"port": 81}]),
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            _service(ports=[{"port": 80, "nodePort": 30000}]),
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            _service(type="NodePort", clusterIP="None", clusterIPs=["None"]),
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            _service(clusterIP="10.0.0.300", clusterIPs=["10.0.0.300"]),
            [
                'spec.clusterIPs[0]: Invalid value: "10.0.0.300": must be a valid IP address, (e.g. 10.9.8.7 or '
                "2001:db8::ffff)"
            ],
        ),
        (
            _service(externalIPs=["127.0.0.1"]),
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, '
                "::1/128)"
            ],
        ),
        (_service(type="ExternalName"), ["spec.externalName: Required value"]),
        (_service(type="ExternalName", externalName="example.com"), []),
        (
            _service(externalTrafficPolicy="Local"),
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
        ),
        (_service(type="NodePort", externalTrafficPolicy="Local"), []),
        (
            _service(type="LoadBalancer", externalTrafficPolicy="Local"),
            ["spec.healthCheckNodePort: Required value"],
        ),
        (
            _service(type="LoadBalancer", ports=[{"port": 10250}]),
            [
                "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet",
            ],
        ),
        (
            _service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 80}]),
            [
                'spec.ports[1]: Duplicate value: core.ServicePort{Name:"", Protocol:"TCP", AppProtocol:(*string)(nil), '
                'Port:80, TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}'
            ],
        ),
        (
            _service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "10.0.0.2"]),
            [
                'spec.clusterIPs: Invalid value: []string{"10.0.0.1", "10.0.0.2"}: '
                "may specify no more than one IP for each IP family"
            ],
        ),
        (
            _service(clusterIP="None", clusterIPs=["None", "10.0.0.2"]),
            ['spec.clusterIPs: Invalid value: []string{"None", "10.0.0.2"}: \'None\' must be the first and only value'],
        ),
        (
            _service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ipFamilies=["IPv6", "IPv6"]),
            [
                'spec.ipFamilies[1]: Duplicate value: "IPv6"',
                'spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`',
            ],
        ),
        (
            _service(sessionAffinity="Cookie"),
            ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'],
        ),
    ],
    ids=lambda value: " | ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_new_service(service, expected):
    assert texts(validate_create(SERVICES, service)) == expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}, []),
        (
            {"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]},
            ['spec.clusterIPs[0]: Invalid value: []string{"10.0.0.2"}: may not change once set'],
        ),
        ({}, ["spec.clusterIPs[0]: Invalid value: []string(nil): primary clusterIP can not be unset"]),
        ({"type": "ExternalName", "externalName": "a.b"}, []),
    ],
    ids=str,
)
def test_the_address_of_a_service_is_fixed(new, expected):
    old = _service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"])
    assert texts(validate_update(SERVICES, _service(**new), old)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"clusterIPs": ["None"], "ipFamilies": ["IPv4"]}, {"clusterIPs": ["None"], "ipFamilies": ["IPv6"]}, []),
        (
            {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]},
            {"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"},
            [],
        ),
        (
            {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]},
            {"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]},
            [
                'spec.ipFamilyPolicy: Invalid value: "null": '
                "must be set to 'SingleStack' when releasing the secondary clusterIP",
                'spec.ipFamilyPolicy: Invalid value: "null": '
                "must be set to 'SingleStack' when releasing the secondary ipFamily",
            ],
        ),
        (
            {"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]},
            {"clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6", "IPv4"]},
            [
                'spec.ipFamilies[0]: Invalid value: []string{"10.0.0.1"}: may not change once set',
            ],
        ),
    ],
    ids=["headless", "released", "not released", "another family"],
)
def test_the_second_address_of_a_service(old, new, expected):
    assert [str(each) for each in addresses_update(new, old)] == expected


def test_annotations_of_a_service():
    noted = _service()
    noted["metadata"]["annotations"] = {
        "service.kubernetes.io/topology-mode": "Auto",
        "service.kubernetes.io/topology-aware-hints": "Disabled",
        "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, nowhere",
    }
    ranges = "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]"
    assert texts(validate_create(SERVICES, noted)) == [
        'metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": '
        "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified",
        f"{ranges}: Forbidden: may only be used when `type` is 'LoadBalancer'",
        f'{ranges}: Invalid value: "nowhere": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ]
