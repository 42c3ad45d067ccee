"""Semantic validation of metadata and of the kinds beside pods and workloads."""

from base64 import b64encode
from copy import deepcopy

import pytest

from apimachinery.api import catalogue, defaults
from apimachinery.api.catalogue import CONFIGMAPS, SERVICES
from apimachinery.api.validation import validate_binding, validate_create, validate_name, validate_update
from apimachinery.api.validation.service_addresses import addresses_update


def _texts(problems):
    return [str(problem) for problem in problems]


def _object(resource, /, _metadata=None, **fields):
    metadata = {"name": "a", "resourceVersion": "1", **(_metadata or {})}
    if resource.namespaced:
        metadata.setdefault("namespace", "default")
    body = {"metadata": metadata, **fields}
    defaults.apply(resource, body)
    return body


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, []),
        ({"name": None}, ["metadata.name: Required value: name or generateName is required"]),
        ({"namespace": ""}, ["metadata.namespace: Required value"]),
        ({"generateName": "web-"}, []),
        ({"generateName": "Web-"}, None),
        ({"labels": {"a": "b c"}}, None),
        ({"labels": {"/a": "b"}}, None),
        ({"annotations": {"A/B": "anything \n at all"}}, []),
        (
            {"annotations": {"a": "x" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
            ['metadata.ownerReferences.uid: Invalid value: "": uid must not be empty'],
        ),
        (
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": True} for name in "pq"
                ]
            },
            None,
        ),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, None),
    ],
    ids=lambda value: str(value)[:50],
)
def test_metadata_of_a_new_object(metadata, expected):
    found = _texts(validate_create(CONFIGMAPS, _object(CONFIGMAPS, metadata)))
    assert found == expected if expected is not None else found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({}, {"resourceVersion": ""}, ['metadata.resourceVersion: Invalid value: "": must be specified for an update']),
        ({"uid": "1"}, {"uid": "2"}, ['metadata.uid: Invalid value: "2": field is immutable']),
        ({"generation": 2}, {"generation": 1}, ["metadata.generation: Invalid value: 1: must not be decremented"]),
        (
            {"deletionTimestamp": "x"},
            {"deletionTimestamp": "x", "finalizers": ["a.io/b"]},
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found "
                'new finalizers []string{"a.io/b"}'
            ],
        ),
    ],
    ids=str,
)
def test_metadata_of_an_update(old, new, expected):
    found = validate_update(CONFIGMAPS, _object(CONFIGMAPS, new), _object(CONFIGMAPS, old))
    assert _texts(found) == expected


@pytest.mark.parametrize(
    ("resource", "name", "good"),
    [
        (catalogue.NAMESPACES, "a.b", False),
        (catalogue.NODES, "a.b", True),
        (SERVICES, "1a", False),
        (catalogue.PODS, "1a.b", True),
        (catalogue.CLUSTERROLES, "system:node", True),
        (catalogue.CLUSTERROLES, "a/b", False),
        (catalogue.CLUSTERROLES, "..", False),
    ],
)
def test_names(resource, name, good):
    assert (validate_name(resource, name) == []) is good


def test_a_namespace_on_a_cluster_scoped_object():
    body = _object(catalogue.NODES, {"namespace": "x"})
    assert _texts(validate_create(catalogue.NODES, body)) == ["metadata.namespace: Forbidden: not allowed on this type"]


def _service(metadata=None, **spec):
    return _object(SERVICES, metadata, spec={"ports": [{"port": 80}], **spec})


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
    assert _texts(validate_create(SERVICES, service)) == expected


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
    assert _texts(validate_update(SERVICES, _service(**new), old)) == expected


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
    assert _texts(validate_create(SERVICES, noted)) == [
        'metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": '
        "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified",
        f"{ranges}: Forbidden: may only be used when `type` is 'LoadBalancer'",
        f'{ranges}: Invalid value: "nowhere": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ]


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
    found = validate_update(resource, _object(resource, **deepcopy(new)), _object(resource, **deepcopy(old)))
    assert _texts(found) == expected


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
        (catalogue.NODES, {"spec": {"podCIDRs": ["10.0.0.0"]}}, ["must be a valid CIDR value"]),
        (catalogue.NODES, {"spec": {"podCIDR": "TCP"}}, ["must be a valid CIDR value"]),
        (
            catalogue.NODES,
            {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.2.0.0/24"]}},
            ["must be equal to node.Spec.PodCIDRs[0]"],
        ),
        (catalogue.LEASES, {"spec": {"leaseDurationSeconds": 0}}, ["must be greater than 0"]),
        (catalogue.JOBS, {"spec": {"template": _PODS, "manualSelector": True, "selector": {}}}, []),
        (
            catalogue.JOBS,
            {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}},
            [
                'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
                "spec.selector: Required value",
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
    found = _texts(validate_create(resource, _object(resource, **deepcopy(fields))))
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
    assert _texts(validate_binding(binding)) == expected
