"""Network policies, ingresses and their classes: what they are refused for."""

import pytest

from apimachinery.api.validation import (
    validate_create,
    validate_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

POLICY = resource("networking.k8s.io/v1", "NetworkPolicy")
INGRESS = resource("networking.k8s.io/v1", "Ingress")
INGRESS_CLASS = resource("networking.k8s.io/v1", "IngressClass")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"podSelector": {}}, []),
        (
            {"podSelector": {}, "ingress": [{"from": [{}]}]},
            ["spec.ingress[0].from[0]: Required value: must specify a peer"],
        ),
        (
            {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]},
            ['spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/9": must be a strict subset of `cidr`'],
        ),
        (
            {"podSelector": {}, "egress": [{"to": [{"ipBlock": {}}]}]},
            ["spec.egress[0].to[0].ipBlock.cidr: Required value"],
        ),
        (
            {"podSelector": {}, "ingress": [{"ports": [{"port": 90, "endPort": 80, "protocol": "ICMP"}]}]},
            [
                'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
                "spec.ingress[0].ports[0].endPort: Invalid value: 90: must be greater than or equal to `port`",
            ],
        ),
        (
            {"podSelector": {}, "ingress": [{"ports": [{"port": "web", "endPort": 80}]}]},
            ["spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric"],
        ),
        (
            {"podSelector": {}, "policyTypes": ["Both"]},
            ['spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"'],
        ),
    ],
    ids=str,
)
def test_network_policies(spec, expected):
    assert texts(validate_create(POLICY, made(POLICY, spec=spec))) == expected


def _paths(path="/", kind="Prefix", **backend):
    backend = backend or {"service": {"name": "web", "port": {"number": 80}}}
    return {"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"rules": [_paths()]}, []),
        (
            {},
            [
                "spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` must be "
                "specified"
            ],
        ),
        ({"rules": [{"host": "1.2.3.4", **_paths()}]}, None),
        (
            {"rules": [_paths("a/../b")]},
            [
                'spec.rules[0].http.paths[0].path: Invalid value: "a/../b": must be an absolute path',
                "spec.rules[0].http.paths[0].path: Invalid value: \"a/../b\": must not contain '/../'",
            ],
        ),
        (
            {"rules": [_paths("/", "Regex")]},
            [
                'spec.rules[0].http.paths[0].pathType: Unsupported value: "Regex": supported values: "Exact", '
                '"ImplementationSpecific", "Prefix"'
            ],
        ),
        (
            {"rules": [_paths(service={"name": "web"})]},
            ["spec.rules[0].http.paths[0].backend: Required value: port name or number is required"],
        ),
        (
            {"defaultBackend": {}},
            ['spec.defaultBackend: Invalid value: "": resource or service backend is required'],
        ),
        ({"rules": [{"http": {"paths": []}}]}, ["spec.rules[0].http.paths: Required value"]),
        (
            {"defaultBackend": {"resource": {"apiGroup": "x.y", "kind": "", "name": "n"}}},
            ["spec.defaultBackend.resource.kind: Required value: kind is required"],
        ),
    ],
    ids=str,
)
def test_ingresses(spec, expected):
    found = texts(validate_create(INGRESS, made(INGRESS, spec=spec)))
    if expected is None:
        assert found == ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address']
    else:
        assert found == expected


def test_an_ingress_class_keeps_its_controller():
    old = made(INGRESS_CLASS, spec={"controller": "a.io/b"})
    new = made(INGRESS_CLASS, spec={"controller": "a.io/c"})
    assert validate_create(INGRESS_CLASS, old) == []
    assert texts(validate_update(INGRESS_CLASS, new, old)) == [
        'spec.controller: Invalid value: "a.io/c": field is immutable'
    ]
    bad = made(INGRESS_CLASS, spec={"controller": "plain", "parameters": {"kind": "k", "name": "n", "scope": "Any"}})
    assert texts(validate_create(INGRESS_CLASS, bad)) == [
        'spec.controller: Invalid value: "plain": must be a domain-prefixed path (such as "acme.io/foo")',
        'spec.parameters.scope: Unsupported value: "Any": supported values: "Cluster", "Namespace"',
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, []),
        ({"scope": "Namespace", "namespace": "n"}, []),
        ({"scope": "Namespace"}, ["namespace: Required value: `parameters.scope` is set to 'Namespace'"]),
        ({"scope": "Cluster", "namespace": "n"}, ["namespace: Forbidden: `parameters.scope` is set to 'Cluster'"]),
        (
            {"kind": "a/b", "name": ".."},
            ["kind: Invalid value: \"a/b\": may not contain '/'", "name: Invalid value: \"..\": may not be '..'"],
        ),
    ],
    ids=str,
)
def test_parameters_of_an_ingress_class(parameters, expected):
    spec = {"controller": "a.io/b", "parameters": {"kind": "k", "name": "n", **parameters}}
    found = texts(validate_create(INGRESS_CLASS, made(INGRESS_CLASS, spec=spec)))
    assert found == [f"spec.parameters.{text}" for text in expected]


def test_an_undefaulted_class_says_no_scope():
    undefaulted = {**made(INGRESS_CLASS), "spec": {"controller": "a.io/b", "parameters": {"kind": "k", "name": "n"}}}
    assert texts(validate_create(INGRESS_CLASS, undefaulted)) == ["spec.parameters.scope: Required value"]
