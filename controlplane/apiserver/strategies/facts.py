"""What upstream's strategies answer with a constant: which kinds count generations, may be created by PUT, …"""

from __future__ import annotations

from typing import Any

_REGISTRATION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"

# Kinds whose metadata.generation counts changes of what they specify (PrepareForCreate and PrepareForUpdate).
GENERATED = frozenset(
    {
        ("", "PodTemplate"),
        ("", "ReplicationController"),
        (_REGISTRATION, "MutatingWebhookConfiguration"),
        (_REGISTRATION, "ValidatingAdmissionPolicy"),
        (_REGISTRATION, "ValidatingAdmissionPolicyBinding"),
        (_REGISTRATION, "ValidatingWebhookConfiguration"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("discovery.k8s.io", "EndpointSlice"),
        (_FLOW, "FlowSchema"),
        (_FLOW, "PriorityLevelConfiguration"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("policy", "PodDisruptionBudget"),
        ("scheduling.k8s.io", "PriorityClass"),
    }
)
# Kinds that PUT may create (AllowCreateOnUpdate).
CREATED_ON_UPDATE = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "Endpoints",
        "Event",
        "Lease",
        "LimitRange",
        "Role",
        "RoleBinding",
        "RuntimeClass",
        "Service",
    }
)
# Kinds that PUT replaces only at the resourceVersion it names (not AllowUnconditionalUpdate).
CONDITIONAL = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CSIStorageCapacity",
        "CustomResourceDefinition",
        "Lease",
        "MutatingWebhookConfiguration",
        "PodDisruptionBudget",
        "RuntimeClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    }
)
# Kinds that leave what they own behind when a deletion does not say otherwise, for clients older than the
# garbage collector (DefaultGarbageCollectionPolicy); kubectl always says.
ORPHANING = frozenset({"Job", "ReplicationController"})
# Kinds whose deletion answers with the object instead of a Status (ReturnDeletedObject).
RETURNED = frozenset(
    {
        "CSIDriver",
        "CSINode",
        "Namespace",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ResourceQuota",
        "Service",
        "ServiceAccount",
        "StorageClass",
        "VolumeAttachment",
    }
)
# Kinds whose status subresource changes nothing of the metadata (metav1.ResetObjectMetaForStatus, which upstream's
# CustomResourceDefinitions call on the new object alone, without effect).
STATUS_ONLY = frozenset(
    {
        "APIService",
        "FlowSchema",
        "PriorityLevelConfiguration",
        "ValidatingAdmissionPolicy",
        "VolumeAttachment",
    }
)
STATUS_KEEPS = ("labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp")

_REPLICAS = {"replicas": 0}
# The status of a new object: what Go writes of a structure that nobody has filled in (no omitempty).
EMPTY_STATUS: dict[tuple[str, str], dict[str, Any]] = {
    ("", "PersistentVolumeClaim"): {"phase": "Pending"},
    ("", "ReplicationController"): _REPLICAS,
    ("", "ResourceQuota"): {},
    (_REGISTRATION, "ValidatingAdmissionPolicy"): {},
    ("apiregistration.k8s.io", "APIService"): {},
    ("apps", "DaemonSet"): {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    ("apps", "Deployment"): {},
    ("apps", "ReplicaSet"): _REPLICAS,
    ("apps", "StatefulSet"): {"replicas": 0, "availableReplicas": 0},
    ("autoscaling", "HorizontalPodAutoscaler"): {"desiredReplicas": 0, "currentMetrics": None},
    ("batch", "CronJob"): {},
    ("batch", "Job"): {},
    ("certificates.k8s.io", "CertificateSigningRequest"): {},
    (_FLOW, "FlowSchema"): {},
    (_FLOW, "PriorityLevelConfiguration"): {},
    ("networking.k8s.io", "Ingress"): {"loadBalancer": {}},
    ("policy", "PodDisruptionBudget"): {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    },
    ("storage.k8s.io", "VolumeAttachment"): {"attached": False},
}
