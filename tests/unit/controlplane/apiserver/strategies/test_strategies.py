"""What strategies do to an object before it is validated and stored."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery.api.catalogue import CATALOGUE, Resource
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.service_fields import drop_unused, settle_addresses
from controlplane.apiserver.strategies.table import strategies

_NOW = datetime(2026, 1, 2, tzinfo=UTC)
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/c"
_NOBODY: Any = None


def kind(api_version: str, name: str) -> Resource:
    found = CATALOGUE.by_kind(api_version, name)
    assert found is not None
    return found


def of(resource: Resource) -> Any:
    return strategies(_NOBODY, _NOBODY, _NOBODY, event_ttl=60, rbac=False, now=lambda: _NOW)(resource)


async def _allow(attributes: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


def call(resource: Resource, subresource: str = "") -> Call:
    return Call(User("u"), resource, "update", "default", "a", _allow, subresource)


@pytest.mark.parametrize(
    ("api_version", "name", "created", "unconditional", "returned"),
    [
        ("v1", "ConfigMap", False, True, False),
        ("v1", "Service", True, True, True),
        ("v1", "Namespace", False, True, True),
        ("v1", "PodTemplate", False, True, True),
        ("coordination.k8s.io/v1", "Lease", True, False, False),
        ("policy/v1", "PodDisruptionBudget", False, False, False),
        ("networking.k8s.io/v1", "IngressClass", False, True, False),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", False, True, False),
        ("storage.k8s.io/v1", "StorageClass", False, True, True),
        ("storage.k8s.io/v1", "CSIDriver", False, False, True),
        ("rbac.authorization.k8s.io/v1", "Role", True, True, False),
        ("node.k8s.io/v1", "RuntimeClass", True, False, False),
    ],
)
def test_constants(api_version: str, name: str, created: bool, unconditional: bool, returned: bool) -> None:
    strategy = of(kind(api_version, name))
    found = (strategy.create_on_update, strategy.unconditional_update, strategy.returns_deleted)
    assert found == (created, unconditional, returned)


def _object(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "uid": "u"}, **fields}


def test_a_deployments_annotations_count_as_a_change() -> None:
    deployments = of(kind("apps/v1", "Deployment"))
    old, new = _object(spec={"replicas": 1}), _object(spec={"replicas": 1, "paused": None})
    assert not deployments.spec_changed(new, old)
    new["metadata"] = {**new["metadata"], "annotations": {"a": "b"}}
    assert deployments.spec_changed(new, old)
    assert not of(kind("apps/v1", "ReplicaSet")).spec_changed(new, old)


def test_a_priority_class_keeps_its_generation() -> None:
    classes = of(kind("scheduling.k8s.io/v1", "PriorityClass"))
    assert classes.generated
    assert not classes.spec_changed(_object(description="new"), _object())


def test_a_slices_labels_count_as_a_change() -> None:
    slices = of(kind("discovery.k8s.io/v1", "EndpointSlice"))
    old, new = _object(ports=[]), _object()
    assert not slices.spec_changed(new, old)
    new["metadata"] = {**new["metadata"], "labels": {"a": "b"}}
    assert slices.spec_changed(new, old)


def test_a_status_update_and_the_metadata() -> None:
    for api_version, name, kept in (
        ("v1", "PersistentVolumeClaim", {"x": "y"}),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {"x": "y"}),
        ("apiregistration.k8s.io/v1", "APIService", None),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", None),
    ):
        resource = kind(api_version, name)
        old = _object(spec={"a": 1}, status={})
        new: dict[str, Any] = {"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"a": 2}, "status": {"b": 1}}
        of(resource).prepare_status(call(resource, "status"), new, old)
        assert (new["spec"], new["status"], new["metadata"].get("labels")) == ({"a": 1}, {"b": 1}, kept)


def test_a_daemon_sets_templates_are_counted() -> None:
    resource = kind("apps/v1", "DaemonSet")
    key, strategy = "deprecated.daemonset.template.generation", of(resource)
    made = _object(spec={"template": {"spec": {}}}, status={"x": 1})
    strategy.prepare_create(call(resource), made)
    assert made["metadata"]["annotations"] == {key: "1"} and "x" not in made["status"]
    same = _object(spec={"template": {}, "minReadySeconds": 3})
    strategy.prepare_update(call(resource), same, made)
    assert same["metadata"]["annotations"] == {key: "1"}
    other = _object(spec={"template": {"spec": {"hostPID": True}}})
    strategy.prepare_update(call(resource), other, made)
    assert other["metadata"]["annotations"] == {key: "2"}


def test_a_job_keeps_labels_that_validation_will_refuse() -> None:
    resource = kind("batch/v1", "Job")
    job = _object(spec={"template": {"metadata": {"labels": {"job-name": "other"}}}})
    of(resource).prepare_create(call(resource), job)
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "u",
        "batch.kubernetes.io/job-name": "a",
        "controller-uid": "u",
        "job-name": "other",
    }
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}


def test_a_volume_tells_when_its_phase_changed() -> None:
    resource = kind("v1", "PersistentVolume")
    volume = _object(spec={}, status={"phase": "Bound"})
    of(resource).prepare_create(call(resource), volume)
    assert volume["status"] == {"phase": "Pending", "lastPhaseTransitionTime": "2026-01-02T00:00:00Z"}
    old = _object(spec={}, status={"phase": "Pending", "lastPhaseTransitionTime": "2025-01-01T00:00:00Z"})
    new = _object(spec={}, status={**old["status"], "phase": "Available"})
    of(resource).prepare_status(call(resource, "status"), new, old)
    assert new["status"]["lastPhaseTransitionTime"] == "2026-01-02T00:00:00Z"


def test_a_claims_sources_say_the_same() -> None:
    resource = kind("v1", "PersistentVolumeClaim")
    source = {"kind": "PersistentVolumeClaim", "name": "x"}
    for field in ("dataSource", "dataSourceRef"):
        claim = _object(spec={field: source})
        of(resource).prepare_create(call(resource), claim)
        assert claim["spec"] == {"dataSource": source, "dataSourceRef": source}
    strange = {"kind": "Populator", "apiGroup": "example.com", "name": "x"}
    dropped, named = _object(spec={"dataSource": dict(strange)}), _object(spec={"dataSourceRef": dict(strange)})
    for claim in (dropped, named):
        of(resource).prepare_create(call(resource), claim)
    assert dropped["spec"] == {}
    assert named["spec"] == {"dataSource": strange, "dataSourceRef": strange}
    kept, old = _object(spec={"dataSource": dict(strange)}), _object(spec=dict(named["spec"]))
    of(resource).prepare_update(call(resource), kept, old)
    assert kept["spec"]["dataSource"] == strange
    foreign = _object(spec={"dataSourceRef": {**source, "namespace": "b"}})
    of(resource).prepare_create(call(resource), foreign)
    assert foreign["spec"] == {}
    gates = {"CrossNamespaceVolumeDataSource": True}
    opened = strategies(_NOBODY, _NOBODY, _NOBODY, event_ttl=60, rbac=False, now=lambda: _NOW, gates=gates)(resource)
    foreign = _object(spec={"dataSourceRef": {**source, "namespace": "b"}})
    opened.prepare_create(call(resource), foreign)
    assert foreign["spec"] == {"dataSourceRef": {**source, "namespace": "b"}}
    both = {"dataSource": strange, "dataSourceRef": source}
    claim = _object(spec=deepcopy(both))
    of(resource).prepare_create(call(resource), claim)
    assert claim["spec"] == both  # validation refuses them


def test_the_topology_of_an_endpoint_is_not_written() -> None:
    resource = kind("discovery.k8s.io/v1", "EndpointSlice")
    endpoint = {"addresses": ["10.0.0.1"]}
    stored = {**endpoint, "deprecatedTopology": {"a": "b"}}
    new = _object(endpoints=[dict(stored)])
    of(resource).prepare_create(call(resource), new)
    assert new["endpoints"] == [endpoint]
    for old, kept in (([stored], stored), ([], endpoint)):
        new = _object(endpoints=[dict(stored)])
        of(resource).prepare_update(call(resource), new, _object(endpoints=old))
        assert new["endpoints"] == [kept]


def test_a_lease_asks_for_no_coordination() -> None:
    resource = kind("coordination.k8s.io/v1", "Lease")
    strategy = of(resource)
    asked = {"holderIdentity": "me", "strategy": "OldestEmulationVersion", "preferredHolder": "you"}
    new, plain = _object(spec=dict(asked)), _object(spec={"holderIdentity": "me"})
    strategy.prepare_create(call(resource), new)
    assert new["spec"] == plain["spec"]
    new, old = _object(spec=dict(asked)), _object(spec={"strategy": "OldestEmulationVersion"})
    strategy.prepare_update(call(resource), new, old)
    assert new["spec"] == {"holderIdentity": "me", "strategy": "OldestEmulationVersion"}


def test_small_kinds() -> None:
    accounts = kind("v1", "ServiceAccount")
    account = _object(secrets=[{"name": "s", "kind": "Secret", "uid": "1"}])
    of(accounts).prepare_create(call(accounts), account)
    assert account["secrets"] == [{"name": "s"}]
    assert len(of(kind("v1", "LimitRange")).unnamed()) == 36
    assert of(kind("v1", "ConfigMap")).unnamed() == ""
    drivers = kind("storage.k8s.io/v1", "CSIDriver")
    new = _object(spec={"requiresRepublish": True})
    of(drivers).prepare_update(call(drivers), new, _object(spec={}))
    assert new["metadata"]["generation"] == 1


def _pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "labels": {"v": "1"}}, "spec": {"containers": [{"name": "c"}], **spec}}


def test_a_pods_own_labels_settle_its_affinity() -> None:
    pods = kind("v1", "Pod")
    term = {"topologyKey": "zone", "matchLabelKeys": ["v", "w"], "labelSelector": {}}
    without = {"topologyKey": "zone", "mismatchLabelKeys": ["v"]}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term, without]}
    pod = _pod(affinity={"podAntiAffinity": rule})
    of(pods).prepare_create(call(pods), pod)
    assert term["labelSelector"] == {"matchExpressions": [{"key": "v", "operator": "In", "values": ["1"]}]}
    assert "labelSelector" not in without


def test_apparmor_profiles_of_field_and_annotation() -> None:
    pods = kind("v1", "Pod")
    by_field = _pod(securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}})
    of(pods).prepare_create(call(pods), by_field)
    assert by_field["metadata"]["annotations"] == {_APPARMOR: "localhost/x"}
    by_annotation, asked = _pod(), call(pods)
    by_annotation["metadata"]["annotations"] = {_APPARMOR: "runtime/default"}
    of(pods).prepare_create(asked, by_annotation)
    context = by_annotation["spec"]["containers"][0]["securityContext"]
    assert context == {"appArmorProfile": {"type": "RuntimeDefault"}}
    assert asked.warnings == [
        f'metadata.annotations[{_APPARMOR}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    ]


def test_a_pods_own_labels_become_part_of_its_affinity_terms() -> None:
    pods, made = kind("v1", "Pod"), _pod()
    made["metadata"]["labels"] = {"v": "2", "w": "3"}
    keys = {"matchLabelKeys": ["v", "absent"], "mismatchLabelKeys": ["w"], "topologyKey": "zone"}
    by_label = {"labelSelector": {"matchLabels": {"app": "x"}}, **keys}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": deepcopy(by_label)}]
    }
    made["spec"]["affinity"] = {
        "podAntiAffinity": {required: [deepcopy(by_label), dict(keys)]},
        "podAffinity": preferred,
    }
    of(pods).prepare_create(call(pods), made)
    settled = {
        "matchLabels": {"app": "x"},
        "matchExpressions": [
            {"key": "v", "operator": "In", "values": ["2"]},
            {"key": "w", "operator": "NotIn", "values": ["3"]},
        ],
    }
    with_selector, without = made["spec"]["affinity"]["podAntiAffinity"][required]
    assert with_selector == {**by_label, "labelSelector": settled} and without == keys
    (weighed,) = made["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert weighed["podAffinityTerm"]["labelSelector"] == settled


def test_a_pods_quality_of_service_is_only_backfilled() -> None:
    pods = kind("v1", "Pod")
    old = {**_pod(), "status": {"qosClass": "BestEffort"}}
    for said, stored in (({}, "BestEffort"), ({"qosClass": "Guaranteed"}, "Guaranteed")):
        new = {**_pod(), "status": dict(said)}
        of(pods).prepare_status(call(pods, "status"), new, old)
        assert new["status"]["qosClass"] == stored


def test_the_status_of_a_signing_request_leaves_its_verdict_as_it_is() -> None:
    requests = kind("certificates.k8s.io/v1", "CertificateSigningRequest")
    stamp = {"lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    approved = {"type": "Approved", "status": "True", "reason": "Auto", **stamp}
    failed = {"type": "Failed", "status": "True", **stamp}
    old = {"metadata": {"name": "a"}, "spec": {}, "status": {"conditions": [approved]}}
    for said, stored in (
        ([failed, {"type": "Approved", "status": "True"}], [failed, approved]),
        ([failed], [failed]),  # validation refuses it
    ):
        new = {"metadata": {"name": "a"}, "spec": {}, "status": {"conditions": said}}
        of(requests).prepare_status(call(requests, "status"), new, old)
        assert new["status"]["conditions"] == stored


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        (
            {"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]},
            {"type": "ExternalName", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]},
            {"type": "ExternalName"},
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Cluster"},
            {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Cluster"},
            {"type": "ClusterIP", "ports": [{"port": 80}]},
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]},
            {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30081}]},
            {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30081}]},
        ),
        (
            {
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "healthCheckNodePort": 30001,
                "allocateLoadBalancerNodePorts": True,
                "loadBalancerClass": "a/b",
            },
            {
                "type": "NodePort",
                "externalTrafficPolicy": "Local",
                "healthCheckNodePort": 30001,
                "allocateLoadBalancerNodePorts": True,
                "loadBalancerClass": "a/b",
            },
            {"type": "NodePort", "externalTrafficPolicy": "Local"},
        ),
    ],
    ids=["to-external-name", "to-cluster-ip", "another-node-port", "from-load-balancer"],
)
def test_what_a_services_new_type_does_not_use(
    before: dict[str, Any], after: dict[str, Any], left: dict[str, Any]
) -> None:
    drop_unused(after, before)
    assert after == left


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("10.0.0.1", ["10.0.0.1"]), ("10.0.0.1", []), ["10.0.0.1"]),
        (("10.0.0.1", ["10.0.0.1"]), ("10.0.0.2", ["10.0.0.1"]), ["10.0.0.2"]),
        (("10.0.0.1", ["10.0.0.1"]), ("", ["10.0.0.1"]), None),
    ],
)
def test_one_address_told_twice(before: Any, after: Any, expected: list[str] | None) -> None:
    spec = {"clusterIP": after[0], "clusterIPs": after[1]}
    settle_addresses(spec, {"clusterIP": before[0], "clusterIPs": before[1]})
    assert spec.get("clusterIPs") == expected


@pytest.mark.parametrize(
    ("api_version", "name", "path"),
    [
        ("v1", "Pod", ("spec",)),
        ("v1", "PodTemplate", ("template", "spec")),
        ("apps/v1", "Deployment", ("spec", "template", "spec")),
        ("batch/v1", "CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
    ],
)
@pytest.mark.parametrize(
    ("gate", "said", "left"),
    [
        ("PodLevelResources", {"resources": {"limits": {"cpu": "1"}}}, {}),
        ("UserNamespacesSupport", {"hostUsers": False}, {}),
        (
            "InPlacePodVerticalScaling",
            {"containers": [{"name": "c", "resizePolicy": [{"resourceName": "cpu"}]}], "initContainers": []},
            {"containers": [{"name": "c"}], "initContainers": []},
        ),
        (
            "SupplementalGroupsPolicy",
            {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
            {"securityContext": {}},
        ),
        (
            "ImageVolume",
            {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "image": {"reference": "r"}}]},
            {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b"}]},
        ),
        (
            "SELinuxChangePolicy",
            {"securityContext": {"seLinuxChangePolicy": "Recursive"}},
            {"securityContext": {}},
        ),
        (
            "ClusterTrustBundleProjection",
            {"volumes": [{"name": "a", "projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}}]},
            {"volumes": [{"name": "a", "projected": {"sources": [{}]}}]},
        ),
        (
            "DynamicResourceAllocation",
            {"resourceClaims": [{"name": "r"}], "containers": [{"resources": {"claims": [{"name": "r"}]}}]},
            {"containers": [{"resources": {}}]},
        ),
        (
            "InPlacePodVerticalScaling",
            {"containers": [{"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]}]},
            {"containers": [{}]},
        ),
        (
            "ProcMountType",
            {"containers": [{"securityContext": {"procMount": "Unmasked"}}, {"securityContext": {}}, {}]},
            {"containers": [{"securityContext": {"procMount": "Default"}}, {"securityContext": {}}, {}]},
        ),
    ],
)
def test_what_a_closed_gate_keeps_away_is_dropped_unless_it_is_there(
    gate: str, said: dict[str, Any], left: dict[str, Any], api_version: str, name: str, path: tuple[str, ...]
) -> None:
    resource = kind(api_version, name)

    def obj(spec: dict[str, Any]) -> dict[str, Any]:
        for field in reversed(path):
            spec = {field: spec}
        return spec

    for old, kept in ((None, left), (obj({}), left), (obj(said), said)):
        new = obj(deepcopy(said))
        of(resource).drop_disabled(new, old)
        assert new == obj(kept)
    opened = strategies(_NOBODY, _NOBODY, _NOBODY, event_ttl=60, rbac=False, now=lambda: _NOW, gates={gate: True})
    opened(resource).drop_disabled(new := obj(deepcopy(said)), None)
    assert new == obj(said)


@pytest.mark.parametrize(
    ("api_version", "name", "said", "left"),
    [
        ("v1", "PersistentVolume", {"spec": {"volumeAttributesClassName": "c"}}, {"spec": {}}),
        ("v1", "PersistentVolumeClaim", {"spec": {"volumeAttributesClassName": "c"}}, {"spec": {}}),
        (
            "v1",
            "PersistentVolumeClaim",
            {"status": {"currentVolumeAttributesClassName": "c", "modifyVolumeStatus": {"status": "Pending"}}},
            {"status": {}},
        ),
        (
            "apps/v1",
            "StatefulSet",
            {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0, "maxUnavailable": 2}}}},
            {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}},
        ),
    ],
)
def test_closed_gates_of_other_kinds(api_version: str, name: str, said: dict[str, Any], left: dict[str, Any]) -> None:
    resource = kind(api_version, name)
    for old, kept in ((None, left), (left, left), (said, said)):
        new = deepcopy(said)
        of(resource).drop_disabled(new, old)
        assert new == kept
    gates = {"VolumeAttributesClass": True, "MaxUnavailableStatefulSet": True}
    opened = strategies(_NOBODY, _NOBODY, _NOBODY, event_ttl=60, rbac=False, now=lambda: _NOW, gates=gates)
    opened(resource).drop_disabled(new := deepcopy(said), None)
    assert new == said


def test_gates_are_of_the_kinds_of_kubernetes() -> None:
    """A defined kind may have the name of one."""
    resource = replace(kind("apps/v1", "StatefulSet"), group="apps.example.com")
    said = {"spec": {"template": {"spec": {"hostUsers": False}}}}
    of(resource).drop_disabled(new := deepcopy(said), None)
    assert new == said
