"""The official Python client over every group: typed objects are created, read, listed, patched and deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client, config

from tests.integration.kinds import KINDS, Kind
from tests.integration.process import ControlPlane


@dataclass(frozen=True)
class Group:
    """A class of the client, the kind it is tried with and the name of that kind in its methods."""

    api: Callable[[client.ApiClient], Any]
    kind: str
    word: str
    namespaced: bool = True


GROUPS = [
    Group(client.CoreV1Api, "v1.PersistentVolume", "persistent_volume", False),
    Group(client.CoreV1Api, "v1.ReplicationController", "replication_controller"),
    Group(
        client.AdmissionregistrationV1Api,
        "admissionregistration.k8s.io/v1.ValidatingWebhookConfiguration",
        "validating_webhook_configuration",
        False,
    ),
    Group(client.ApiregistrationV1Api, "apiregistration.k8s.io/v1.APIService", "api_service", False),
    Group(client.AppsV1Api, "apps/v1.StatefulSet", "stateful_set"),
    Group(client.AutoscalingV1Api, "autoscaling/v1.HorizontalPodAutoscaler", "horizontal_pod_autoscaler"),
    Group(client.AutoscalingV2Api, "autoscaling/v2.HorizontalPodAutoscaler", "horizontal_pod_autoscaler"),
    Group(client.BatchV1Api, "batch/v1.Job", "job"),
    Group(
        client.CertificatesV1Api,
        "certificates.k8s.io/v1.CertificateSigningRequest",
        "certificate_signing_request",
        False,
    ),
    Group(client.CoordinationV1Api, "coordination.k8s.io/v1.Lease", "lease"),
    Group(client.DiscoveryV1Api, "discovery.k8s.io/v1.EndpointSlice", "endpoint_slice"),
    Group(client.EventsV1Api, "events.k8s.io/v1.Event", "event"),
    Group(client.FlowcontrolApiserverV1Api, "flowcontrol.apiserver.k8s.io/v1.FlowSchema", "flow_schema", False),
    Group(client.NetworkingV1Api, "networking.k8s.io/v1.Ingress", "ingress"),
    Group(client.NodeV1Api, "node.k8s.io/v1.RuntimeClass", "runtime_class", False),
    Group(client.PolicyV1Api, "policy/v1.PodDisruptionBudget", "pod_disruption_budget"),
    Group(client.RbacAuthorizationV1Api, "rbac.authorization.k8s.io/v1.Role", "role"),
    Group(client.SchedulingV1Api, "scheduling.k8s.io/v1.PriorityClass", "priority_class", False),
    Group(client.StorageV1Api, "storage.k8s.io/v1.StorageClass", "storage_class", False),
]


@pytest.fixture
def api(control_plane: ControlPlane) -> client.ApiClient:
    return config.new_client_from_config(str(control_plane.kubeconfig))


def _kind(label: str) -> Kind:
    return next(kind for kind in KINDS if kind.label == label)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.kind)
def test_a_typed_object_of_each_group(api: client.ApiClient, namespace: str, group: Group) -> None:
    kind, own = _kind(group.kind), group.api(api)
    infix, place = ("namespaced_", (namespace,)) if group.namespaced else ("", ())
    name = kind.name if kind.name != "minimal" else f"typed-{group.word.replace('_', '-')}"
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, **kind.body}
    if "regarding" in body:
        body["regarding"] = {**body["regarding"], "namespace": namespace}

    def call(verb: str, *arguments: Any, **options: Any) -> Any:
        return getattr(own, f"{verb}_{infix}{group.word}")(*arguments, **options)

    made = call("create", *place, body)
    assert made.metadata.uid and made.metadata.name == name
    try:
        read = call("read", name, *place)
        assert read.metadata.uid == made.metadata.uid
        patched = call("patch", name, *place, {"metadata": {"labels": {"typed": "yes"}}})
        assert patched.metadata.labels["typed"] == "yes"
        listed = call("list", *place, label_selector="typed=yes")
        assert name in [each.metadata.name for each in listed.items]
        assert _replaced(call, name, place).metadata.uid == made.metadata.uid
    finally:
        call("delete", name, *place)
    with pytest.raises(client.ApiException) as again:
        call("create", *place, {**body, "metadata": {"name": "Not/A%Name"}})
    assert again.value.status == 422


def _replaced(call: Callable[..., Any], name: str, place: tuple[str, ...]) -> Any:
    """Written back as it was read, as often as a controller comes between."""
    while True:
        try:
            return call("replace", name, *place, call("read", name, *place))
        except client.ApiException as refused:
            assert refused.status == 409, refused


def test_reviews(api: client.ApiClient) -> None:
    spec = client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(verb="get", resource="pods")
    )
    own = client.AuthorizationV1Api(api)
    review = own.create_self_subject_access_review(client.V1SelfSubjectAccessReview(spec=spec))
    assert review.status.allowed
    whoami = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
    assert whoami.status.user_info.username == "kubernetes-admin"
