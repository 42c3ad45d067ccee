"""The rules of every stored kind: the only list of them."""

from apimachinery.api.validation import (
    admission_policies,
    api_services,
    autoscaling,
    certificates,
    claims,
    classes,
    config,
    csi,
    discovery,
    endpoints,
    events,
    flow_control,
    ingress,
    job_status,
    jobs,
    leases,
    limits,
    namespaces,
    networking,
    nodes,
    persistent_volumes,
    pod_updates,
    pods,
    policy,
    quotas,
    rbac,
    revisions,
    services,
    storage,
    webhooks,
    workload_status,
    workloads,
)
from apimachinery.api.validation.checks import sentences
from apimachinery.api.validation.metadata import path_segment
from apimachinery.api.validation.rules import Object, Rules
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem


def _cron_name(obj: Object) -> list[Problem]:
    name = (obj.get("metadata") or {}).get("name") or ""
    return sentences(jobs.cron_job_name(name), name, Path("metadata.name"))


_REGISTRATION = ("admissionregistration.k8s.io", "v1")
_APPS = ("apps", "v1")
_BATCH = ("batch", "v1")
_FLOW = ("flowcontrol.apiserver.k8s.io", "v1")
_NET = ("networking.k8s.io", "v1")
_RBAC = ("rbac.authorization.k8s.io", "v1")
_STORAGE = ("storage.k8s.io", "v1")

RULES: dict[tuple[str, str, str], Rules] = {
    ("", "v1", "ConfigMap"): Rules(config.config_map, config.config_map_update, change_first=True),
    ("", "v1", "Endpoints"): Rules(endpoints.endpoints),
    ("", "v1", "Event"): Rules(lambda obj: events.event(obj, new_style=False), any_finalizers=True),
    ("", "v1", "LimitRange"): Rules(limits.limit_range),
    ("", "v1", "Namespace"): Rules(
        create=namespaces.namespace_create, status=namespaces.namespace_status, name=names.dns1123_label
    ),
    ("", "v1", "Node"): Rules(nodes.node, nodes.node_update, nodes.node_status),
    ("", "v1", "PersistentVolume"): Rules(
        persistent_volumes.persistent_volume, persistent_volumes.persistent_volume_update
    ),
    ("", "v1", "PersistentVolumeClaim"): Rules(claims.claim, claims.claim_update, claims.claim_status),
    ("", "v1", "Pod"): Rules(pods.pod, pod_updates.pod_update, pod_updates.pod_status_update, pods.pod_create),
    ("", "v1", "PodTemplate"): Rules(lambda obj: pods.pod_template(obj.get("template"), Path("template"))),
    ("", "v1", "ReplicationController"): Rules(
        workloads.replication_controller, status=workload_status.replica_set_status
    ),
    ("", "v1", "ResourceQuota"): Rules(
        quotas.resource_quota,
        quotas.resource_quota_update,
        quotas.resource_quota_status,
        quotas.resource_quota_create,
    ),
    ("", "v1", "Secret"): Rules(config.secret, config.secret_update, change_first=True),
    ("", "v1", "Service"): Rules(
        services.service,
        services.service_update,
        services.service_status_update,
        name=names.dns1035_label,
        change_first=True,
    ),
    ("", "v1", "ServiceAccount"): Rules(),
    (*_REGISTRATION, "MutatingWebhookConfiguration"): Rules(
        update=webhooks.webhooks_update, create=webhooks.webhooks, any_finalizers=True
    ),
    (*_REGISTRATION, "ValidatingAdmissionPolicy"): Rules(
        update=admission_policies.admission_policy_update,
        status=admission_policies.admission_policy_status,
        create=admission_policies.admission_policy,
        any_finalizers=True,
    ),
    (*_REGISTRATION, "ValidatingAdmissionPolicyBinding"): Rules(
        admission_policies.admission_policy_binding, any_finalizers=True
    ),
    (*_REGISTRATION, "ValidatingWebhookConfiguration"): Rules(
        update=webhooks.webhooks_update, create=webhooks.webhooks, any_finalizers=True
    ),
    ("apiregistration.k8s.io", "v1", "APIService"): Rules(
        api_services.api_service, status=api_services.api_service_status, name=path_segment, any_finalizers=True
    ),
    (*_APPS, "ControllerRevision"): Rules(revisions.controller_revision, revisions.controller_revision_update),
    (*_APPS, "DaemonSet"): Rules(workloads.daemon_set, workloads.selector_update, workload_status.daemon_set_status),
    (*_APPS, "Deployment"): Rules(workloads.deployment, workloads.selector_update, workload_status.replicas_status),
    (*_APPS, "ReplicaSet"): Rules(workloads.replica_set, workloads.selector_update, workload_status.replica_set_status),
    (*_APPS, "StatefulSet"): Rules(
        workloads.stateful_set,
        workloads.stateful_set_update,
        workload_status.stateful_set_status,
        name=names.dns1123_label,
    ),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"): Rules(
        update=autoscaling.autoscaler_update, status=autoscaling.autoscaler_status, create=autoscaling.autoscaler
    ),
    (*_BATCH, "CronJob"): Rules(jobs.cron_job, create=_cron_name),
    (*_BATCH, "Job"): Rules(jobs.job, jobs.job_update, job_status.job_status),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest"): Rules(
        update=certificates.signing_request_update,
        status=certificates.signing_request_status,
        create=certificates.signing_request,
        name=path_segment,
    ),
    ("coordination.k8s.io", "v1", "Lease"): Rules(leases.lease, any_finalizers=True),
    ("discovery.k8s.io", "v1", "EndpointSlice"): Rules(discovery.endpoint_slice, discovery.endpoint_slice_update),
    (*_FLOW, "FlowSchema"): Rules(flow_control.flow_schema, status=flow_control.flow_control_status),
    (*_FLOW, "PriorityLevelConfiguration"): Rules(flow_control.priority_level, status=flow_control.flow_control_status),
    (*_NET, "Ingress"): Rules(
        update=ingress.ingress_update, status=ingress.ingress_status, create=ingress.ingress_create
    ),
    (*_NET, "IngressClass"): Rules(ingress.ingress_class, ingress.ingress_class_update, change_first=True),
    (*_NET, "NetworkPolicy"): Rules(networking.network_policy),
    ("node.k8s.io", "v1", "RuntimeClass"): Rules(classes.runtime_class, classes.runtime_class_update),
    # Upstream asks nothing of a budget's metadata but that its name fits into a URL.
    ("policy", "v1", "PodDisruptionBudget"): Rules(
        policy.disruption_budget, status=policy.disruption_budget_status, name=path_segment, any_finalizers=True
    ),
    (*_RBAC, "ClusterRole"): Rules(rbac.cluster_role, name=path_segment),
    (*_RBAC, "ClusterRoleBinding"): Rules(rbac.cluster_role_binding, rbac.binding_update, name=path_segment),
    (*_RBAC, "Role"): Rules(rbac.role, name=path_segment),
    (*_RBAC, "RoleBinding"): Rules(rbac.role_binding, rbac.binding_update, name=path_segment),
    ("scheduling.k8s.io", "v1", "PriorityClass"): Rules(
        update=classes.priority_class_update, create=classes.priority_class
    ),
    (*_STORAGE, "CSIDriver"): Rules(csi.csi_driver, csi.csi_driver_update),
    (*_STORAGE, "CSINode"): Rules(csi.csi_node, csi.csi_node_update),
    (*_STORAGE, "CSIStorageCapacity"): Rules(csi.storage_capacity, csi.storage_capacity_update),
    (*_STORAGE, "StorageClass"): Rules(storage.storage_class, storage.storage_class_update),
    (*_STORAGE, "VolumeAttachment"): Rules(
        storage.volume_attachment,
        storage.volume_attachment_update,
        storage.volume_attachment_status,
        storage.volume_attachment_create,
    ),
}
