"""Upstream's defaulting: what the API server fills in before it validates and stores an object.

The functions change the object they get, which must be the caller's own (a decoded body, a copy). They rely on its
types being right (`schema.SCHEMA.decode`), not on anything being there. A value that Go cannot tell from absent (0 and
"") counts as absent where upstream's field is no pointer.
"""

from collections.abc import Callable
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.defaults import core, extension, jobs, network, pods, storage, workloads

Object = dict[str, Any]

_DEFAULTS: dict[tuple[str, str, str], Callable[[Object], None]] = {
    ("", "v1", "Endpoints"): network.endpoints,
    ("", "v1", "LimitRange"): core.limit_range,
    ("", "v1", "Namespace"): core.namespace,
    ("", "v1", "Node"): core.node,
    ("", "v1", "PersistentVolume"): storage.persistent_volume,
    ("", "v1", "PersistentVolumeClaim"): storage.persistent_volume_claim,
    ("", "v1", "Pod"): pods.pod,
    ("", "v1", "PodTemplate"): workloads.pod_template,
    ("", "v1", "ReplicationController"): workloads.replication_controller,
    ("", "v1", "ResourceQuota"): core.resource_quota,
    ("", "v1", "Secret"): core.secret,
    ("", "v1", "Service"): network.service,
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"): extension.webhooks,
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"): extension.admission_policy,
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"): extension.admission_policy_binding,
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"): extension.webhooks,
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"): extension.custom_resource_definition,
    ("apiregistration.k8s.io", "v1", "APIService"): extension.api_service,
    ("apps", "v1", "DaemonSet"): workloads.daemon_set,
    ("apps", "v1", "Deployment"): workloads.deployment,
    ("apps", "v1", "ReplicaSet"): workloads.replica_set,
    ("apps", "v1", "StatefulSet"): workloads.stateful_set,
    ("authentication.k8s.io", "v1", "TokenRequest"): core.token_request,
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): workloads.autoscaler_v1,
    ("autoscaling", "v2", "HorizontalPodAutoscaler"): workloads.autoscaler,
    ("batch", "v1", "CronJob"): jobs.cron_job,
    ("batch", "v1", "Job"): jobs.job,
    ("discovery.k8s.io", "v1", "EndpointSlice"): network.endpoint_slice,
    ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema"): extension.flow_schema,
    ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration"): extension.priority_level,
    ("networking.k8s.io", "v1", "IngressClass"): network.ingress_class,
    ("networking.k8s.io", "v1", "NetworkPolicy"): network.network_policy,
    ("node.k8s.io", "v1", "RuntimeClass"): core.runtime_class,
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"): core.role_binding,
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"): core.role_binding,
    ("scheduling.k8s.io", "v1", "PriorityClass"): core.priority_class,
    ("storage.k8s.io", "v1", "CSIDriver"): storage.csi_driver,
    ("storage.k8s.io", "v1", "StorageClass"): storage.storage_class,
}


def apply(resource: Resource, obj: Object) -> None:
    """Fill in the defaults of the resource's kind, in place. A kind without defaults is left as it is."""
    apply_gvk(resource.gvk, obj)


def apply_gvk(gvk: tuple[str, str, str], obj: Object) -> None:
    """The same for a kind that is no resource of its own, such as the body of a subresource (TokenRequest)."""
    if found := _DEFAULTS.get(gvk):
        found(obj)
