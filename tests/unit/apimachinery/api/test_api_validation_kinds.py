"""Small kinds, each for the rules that it has of its own."""

from base64 import b64encode

import pytest

from apimachinery.api import catalogue
from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.api.validation import validate_binding, validate_create, validate_status_update, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts

_FIXED = "field is immutable when `immutable` is set"


@pytest.mark.parametrize(
    ("resource", "new", "old", "expected"),
    [
        (CONFIGMAPS, {"data": {"a": "2"}}, {"data": {"a": "1"}}, []),
        (
            CONFIGMAPS,
            {"immutable": True, "data": {"a": "2"}},
            {"immutable": True, "data": {"a": "1"}},
            [f"data: Forbidden: {_FIXED}"],
        ),
        (CONFIGMAPS, {}, {"immutable": True}, [f"immutable: Forbidden: {_FIXED}"]),
        (
            catalogue.SECRETS,
            {"type": "a"},
            {"type": "b"},
            ['type: Invalid value: "a": field is immutable'],
        ),
        (
            catalogue.SECRETS,
            {"immutable": True, "data": {"a": "YQ=="}},
            {"immutable": True},
            [f"data: Forbidden: {_FIXED}"],
        ),
        (
            catalogue.ENDPOINTSLICES,
            {"addressType": "IPv6"},
            {"addressType": "IPv4"},
            ['addressType: Invalid value: "IPv6": field is immutable'],
        ),
        (
            catalogue.NODES,
            {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}},
            {"spec": {"podCIDR": "10.2.0.0/24", "podCIDRs": ["10.2.0.0/24"]}},
            ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'],
        ),
        (catalogue.NODES, {"spec": {"podCIDRs": ["10.1.0.0/24"]}}, {"spec": {}}, []),
        (
            catalogue.ROLEBINDINGS,
            {"roleRef": {"kind": "Role", "name": "b"}},
            {"roleRef": {"kind": "Role", "name": "a"}},
            [
                'roleRef: Invalid value: rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"b"}: '
                "cannot change roleRef"
            ],
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_may_not_change(resource, new, old, expected):
    found = validate_update(resource, made(resource, **new), made(resource, **old))
    assert texts(found) == expected


_PODS = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}


@pytest.mark.parametrize(
    ("resource", "fields", "expected"),
    [
        (CONFIGMAPS, {"data": {"a": "x"}, "binaryData": {"b": "YQ=="}}, []),
        (CONFIGMAPS, {"data": {"a": "x"}, "binaryData": {"a": "YQ=="}}, ["duplicate of key present in binaryData"]),
        (CONFIGMAPS, {"data": {"a/b": "x"}}, ["a valid config key must consist of"]),
        (CONFIGMAPS, {"data": {"a": "x" * (1024 * 1024 + 1)}}, ["Too long: may not be more than 1048576 bytes"]),
        (catalogue.SECRETS, {"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required", "data[tls.key]: Required"]),
        (
            catalogue.SECRETS,
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": b64encode(b"{").decode()}},
            ["<secret contents redacted>"],
        ),
        (
            catalogue.SECRETS,
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        (catalogue.ROLES, {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}, []),
        (
            catalogue.ROLES,
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            ["namespaced rules cannot apply"],
        ),
        (catalogue.CLUSTERROLES, {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}, []),
        (
            catalogue.CLUSTERROLES,
            {"aggregationRule": {}},
            ["aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required"],
        ),
        (
            catalogue.CLUSTERROLES,
            {"aggregationRule": {"clusterRoleSelectors": [{}, {"matchExpressions": [{"key": "k", "operator": "Is"}]}]}},
            [
                'matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
                'aggregationRule.clusterRoleSelectors[1]: Invalid value: "null": invalid label selector.',
            ],
        ),
        (
            catalogue.CLUSTERROLEBINDINGS,
            {"subjects": [{"kind": "User"}, {"kind": "Group"}]},
            [
                'roleRef.kind: Unsupported value: "": supported values: "ClusterRole"',
                "roleRef.name: Required value",
                "subjects[0].name: Required value",
                "subjects[1].name: Required value",
            ],
        ),
        (
            catalogue.CLUSTERROLEBINDINGS,
            {"roleRef": {"kind": "Role", "name": "x"}},
            ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'],
        ),
        (
            catalogue.CLUSTERROLEBINDINGS,
            {"roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]},
            ["subjects[0].namespace: Required value"],
        ),
        (
            catalogue.ENDPOINTSLICES,
            {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
            [],
        ),
        (catalogue.ENDPOINTSLICES, {}, ["addressType: Required value"]),
        (
            catalogue.ENDPOINTSLICES,
            {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
            ["endpoints[0].addresses: Required value: must contain at least 1 address"],
        ),
        (
            catalogue.ENDPOINTSLICES,
            {"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}]},
            ['endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be a valid IPv6 address'],
        ),
        (
            catalogue.ENDPOINTS,
            {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
            [],
        ),
        (catalogue.NODES, {"spec": {"taints": [{"key": "a", "effect": "Bogus"}]}}, ["metadata.taints[0].effect"]),
        (
            catalogue.NODES,
            {"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}] * 2}},
            [
                'Duplicate value: core.Taint{Key:"a", Value:"b", Effect:"NoSchedule", TimeAdded:<nil>}: '
                "taints must be unique by key and effect pair"
            ],
        ),
        (catalogue.NODES, {"spec": {"podCIDRs": ["10.0.0.0"]}}, ["must be a valid CIDR value"]),
        (catalogue.NODES, {"spec": {"podCIDR": "TCP"}}, ["must be a valid CIDR value"]),
        (catalogue.LEASES, {"spec": {"leaseDurationSeconds": 0}}, ["must be greater than 0"]),
        (catalogue.JOBS, {"spec": {"template": _PODS, "manualSelector": True, "selector": {}}}, []),
        (
            catalogue.JOBS,
            {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}},
            [
                'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
                "spec.selector: Required value",
                "`selector` does not match template `labels`",
            ],
        ),
        (catalogue.CRONJOBS, {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": _PODS}}}}, []),
        (catalogue.CRONJOBS, {"spec": {"schedule": "@hourly", "jobTemplate": {"spec": {"template": _PODS}}}}, []),
        (
            catalogue.CRONJOBS,
            {"spec": {"schedule": "* * *", "jobTemplate": {"spec": {"template": _PODS}}}},
            ["expected exactly 5 fields, found 3: [* * *]"],
        ),
        (
            catalogue.CRONJOBS,
            {"spec": {"schedule": "61 * * * *", "jobTemplate": {"spec": {"template": _PODS}}}},
            ["above maximum (59)"],
        ),
        (catalogue.EVENTS, {"involvedObject": {"namespace": "other"}}, ["does not match event.namespace"]),
        (catalogue.EVENTS, {"involvedObject": {"namespace": "default"}}, []),
        (catalogue.SERVICEACCOUNTS, {}, []),
        (catalogue.PRIORITYCLASSES, {"value": 0}, []),
    ],
    ids=lambda value: str(value)[:50],
)
def test_new_objects(resource, fields, expected):
    found = texts(validate_create(resource, made(resource, **fields)))
    assert len(found) == len(expected), found
    for text, part in zip(found, expected, strict=True):
        assert part in text


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        ({"target": {"kind": "Node", "name": "n"}}, []),
        ({"target": {"name": ""}}, ["target.name: Required value"]),
        (
            {"target": {"kind": "Pod", "name": "n"}},
            ['target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"'],
        ),
    ],
    ids=str,
)
def test_bindings(binding, expected):
    assert texts(validate_binding(binding)) == expected


def test_a_nodes_status_has_whole_and_positive_amounts():
    old = made(catalogue.NODES)
    given = {"capacity": {"example.com/dongle": "1500m"}, "allocatable": {"memory": "-1"}}
    new = made(catalogue.NODES, status=given)
    first, second = texts(validate_status_update(catalogue.NODES, new, old))
    assert first.startswith("status.capacity.example.com/dongle: Invalid value: resource.Quantity{")
    assert first.endswith(": must be an integer")
    assert second == 'status.allocatable.memory: Invalid value: "-1": must be greater than or equal to 0'
    whole = made(catalogue.NODES, status={"capacity": {"example.com/dongle": "4"}})
    assert not validate_status_update(catalogue.NODES, whole, old)
