"""The Warning headers of writes that are stored."""

from base64 import b64encode

import pytest

from apimachinery.api import catalogue, warnings
from apimachinery.api.catalogue import CATALOGUE, DEPLOYMENTS, PODS, SERVICEACCOUNTS, SERVICES, STATEFULSETS
from apimachinery.api.warnings.pods import pod_warnings
from apimachinery.meta.paths import Path


def _pod(spec=None, container=None, annotations=None, name="web"):
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "c", **(container or {})}], **(spec or {})},
    }


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(), []),
        (
            _pod(name="a.b"),
            [
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS "
                "label is recommended: [must not contain dots]"
            ],
        ),
        (
            _pod({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            [
                'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
            ],
        ),
        (
            _pod({"topologySpreadConstraints": [{"topologyKey": "zone"}]}),
            [
                "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            ],
        ),
        (
            _pod(container={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
            [
                'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
            ],
        ),
        (_pod(container={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}]}), []),
        (
            _pod(container={"resources": {"limits": {"memory": "100m"}}}),
            [
                'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an '
                "integer",
            ],
        ),
        (
            _pod(
                container={
                    "ports": [
                        {"containerPort": 80, "protocol": "TCP"},
                        {"containerPort": 80, "protocol": "TCP"},
                        {"containerPort": 80, "protocol": "UDP"},
                    ]
                }
            ),
            ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        ),
        (
            _pod(container={"ports": [{"containerPort": 80, "protocol": "TCP", "hostIP": "1.2.3.4"}]}),
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 "
                "Protocol:TCP HostIP:1.2.3.4}"
            ],
        ),
        (
            _pod({"volumes": [{"name": "v", "gitRepo": {"repository": "r"}}]}),
            ["spec.volumes[0].gitRepo: deprecated in v1.11"],
        ),
        (
            _pod(
                {
                    "volumes": [
                        {"name": "v", "configMap": {"name": "m", "items": [{"path": "a"}, {"path": "a/b"}]}},
                    ]
                }
            ),
            ['volume "v" (ConfigMap "m"): overlapping paths: "a/b" with "a"'],
        ),
        (
            _pod(annotations={"scheduler.alpha.kubernetes.io/critical-pod": ""}),
            [
                "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
                '"priorityClassName" field instead'
            ],
        ),
        (
            _pod({"imagePullSecrets": [{"name": "s"}, {"name": "s"}, {}]}),
            [
                'spec.imagePullSecrets[1].name: duplicate name "s"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
        ),
        (
            _pod({"terminationGracePeriodSeconds": -1}),
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
        ),
    ],
    ids=str,
)
def test_a_new_pod(pod, expected):
    assert warnings.for_create(PODS, pod) == expected


def test_a_template_says_where_it_is():
    found = pod_warnings(
        _pod(annotations={"container.apparmor.security.beta.kubernetes.io/c": "x"}), Path("spec.template")
    )
    assert found == [
        "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; "
        'use the "appArmorProfile" field instead'
    ]


def test_a_workload_is_told_again_when_its_specification_changes():
    def deployment(generation):
        template = _pod({"volumes": [{"name": "v", "rbd": {}}]})
        return {"metadata": {"name": "a.b", "generation": generation}, "spec": {"template": template}}

    text = "spec.template.spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"
    name = (
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label "
        "is recommended: [must not contain dots]"
    )
    assert warnings.for_create(DEPLOYMENTS, deployment(1)) == [name, text]
    assert warnings.for_update(DEPLOYMENTS, deployment(1), deployment(1)) == []
    assert warnings.for_update(DEPLOYMENTS, deployment(2), deployment(1)) == [text]
    assert warnings.for_update(PODS, _pod(name="a.b"), _pod(name="a.b")) == []
    old, limited = {"metadata": {}}, {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    assert len(warnings.for_update(SERVICEACCOUNTS, limited, old)) == 1
    assert warnings.for_update(SERVICEACCOUNTS, limited, limited) == []


def test_a_stateful_set_is_told_of_its_claims_with_every_change():
    claim = {"spec": {"resources": {"requests": {"storage": "1500m"}}}}
    made = {"metadata": {"generation": 1}, "spec": {"volumeClaimTemplates": [claim]}}
    text = 'resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'
    assert warnings.for_create(STATEFULSETS, made) == [f"spec.volumeClaimTemplates[0].{text}"]
    assert warnings.for_update(STATEFULSETS, made, made) == [f"spec.volumeClaimTemplates[0].Spec.{text}"]


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (
            SERVICES,
            {"spec": {"type": "ClusterIP", "externalName": "x", "externalIPs": ["1.2.3.04", "FD00::1"]}},
            [
                "spec.externalIPs[0]: IP address was accepted, but will be invalid in a future Kubernetes release: "
                'ParseAddr("1.2.3.04"): IPv4 field has octet with leading zero',
                'spec.externalIPs[1]: IPv6 address "FD00::1" is not in RFC 5952 canonical format ("fd00::1"), which '
                "may cause controller apply-loops",
                'spec.externalName is ignored when spec.type is not "ExternalName"',
            ],
        ),
        (
            catalogue.PERSISTENTVOLUMES,
            {"spec": {"persistentVolumeReclaimPolicy": "Recycle", "cephfs": {}}},
            [
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
                "recommended approach is to use dynamic provisioning.",
                "spec.cephfs: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            catalogue.PERSISTENTVOLUMECLAIMS,
            {"spec": {"resources": {"requests": {"storage": "1500m"}}}},
            ['spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'],
        ),
        (
            CATALOGUE.by_kind("networking.k8s.io/v1", "Ingress"),
            {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}},
            ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
        ),
        (
            catalogue.SECRETS,
            {"type": "kubernetes.io/tls", "data": {"tls.crt": b64encode(b"x").decode(), "tls.key": ""}},
            ["tls: failed to find any PEM data in certificate input"],
        ),
        (
            catalogue.SERVICEACCOUNTS,
            {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}},
            [
                "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
                "namespaces to isolate access to mounted secrets"
            ],
        ),
        (
            catalogue.STORAGECLASSES,
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "failure-domain.beta.kubernetes.io/zone"}]}]},
            [
                "allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "
                '"topology.kubernetes.io/zone" instead'
            ],
        ),
        (
            catalogue.ENDPOINTSLICES,
            {"addressType": "FQDN"},
            ["spec.addressType: FQDN endpoints are deprecated"],
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_kinds(resource, obj, expected):
    assert warnings.for_create(resource, obj) == expected
