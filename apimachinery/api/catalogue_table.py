"""The facts behind `catalogue`: what Kubernetes 1.32 lists in discovery, with its default feature gates.

Groups stand in the order of the aggregator's priorities, versions with the preferred one first. A test compares the
table with the definitions and with another project's catalogue.
"""

from typing import NamedTuple

ALL = "create delete deletecollection get list patch update watch"
NO_COLLECTION = "create delete get list patch update watch"
CREATE = "create"
STATUS = "get patch update"
PROXY = "create delete get patch update"
STREAM = "create get"


class Row(NamedTuple):
    """One resource. A subresource is (name, "[apiVersion ]Kind" or "" for the parent's own, verbs)."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    short_names: str = ""
    categories: str = ""
    verbs: str = ALL
    subresources: tuple[tuple[str, str, str], ...] = ()
    singular: str = ""
    stored_as: str = ""


_STATUS = (("status", "", STATUS),)
_SCALE = ("scale", "autoscaling/v1 Scale", STATUS)
_SCALE_STATUS = (_SCALE, *_STATUS)

_POD_SUBRESOURCES = (
    ("attach", "PodAttachOptions", STREAM),
    ("binding", "Binding", CREATE),
    ("ephemeralcontainers", "", STATUS),
    ("eviction", "policy/v1 Eviction", CREATE),
    ("exec", "PodExecOptions", STREAM),
    ("log", "", "get"),
    ("portforward", "PodPortForwardOptions", STREAM),
    ("proxy", "PodProxyOptions", PROXY),
    ("status", "", STATUS),
)

_REGISTRATION = "admissionregistration.k8s.io/v1"
_EXTENSIONS = "apiextensions.k8s.io/v1"
_AUTHN = "authentication.k8s.io/v1"
_AUTHZ = "authorization.k8s.io/v1"
_FLOW = "flowcontrol.apiserver.k8s.io/v1"
_NET = "networking.k8s.io/v1"
_RBAC = "rbac.authorization.k8s.io/v1"
_STORAGE = "storage.k8s.io/v1"

ROWS: tuple[Row, ...] = (
    Row("v1", "Binding", "bindings", True, verbs=CREATE),
    Row("v1", "ComponentStatus", "componentstatuses", False, "cs", verbs="get list"),
    Row("v1", "ConfigMap", "configmaps", True, "cm"),
    Row("v1", "Endpoints", "endpoints", True, "ep"),
    Row("v1", "Event", "events", True, "ev"),
    Row("v1", "LimitRange", "limitranges", True, "limits"),
    Row(
        "v1",
        "Namespace",
        "namespaces",
        False,
        "ns",
        verbs=NO_COLLECTION,
        subresources=(("finalize", "", "update"), *_STATUS),
    ),
    Row("v1", "Node", "nodes", False, "no", subresources=(("proxy", "NodeProxyOptions", PROXY), *_STATUS)),
    Row("v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, "pvc", subresources=_STATUS),
    Row("v1", "PersistentVolume", "persistentvolumes", False, "pv", subresources=_STATUS),
    Row("v1", "Pod", "pods", True, "po", "all", subresources=_POD_SUBRESOURCES),
    Row("v1", "PodTemplate", "podtemplates", True),
    Row("v1", "ReplicationController", "replicationcontrollers", True, "rc", "all", subresources=_SCALE_STATUS),
    Row("v1", "ResourceQuota", "resourcequotas", True, "quota", subresources=_STATUS),
    Row("v1", "Secret", "secrets", True),
    Row(
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        True,
        "sa",
        subresources=(("token", f"{_AUTHN} TokenRequest", CREATE),),
    ),
    Row(
        "v1",
        "Service",
        "services",
        True,
        "svc",
        "all",
        subresources=(("proxy", "ServiceProxyOptions", PROXY), *_STATUS),
    ),
    Row("apiregistration.k8s.io/v1", "APIService", "apiservices", False, "", "api-extensions", subresources=_STATUS),
    Row("apps/v1", "ControllerRevision", "controllerrevisions", True),
    Row("apps/v1", "DaemonSet", "daemonsets", True, "ds", "all", subresources=_STATUS),
    Row("apps/v1", "Deployment", "deployments", True, "deploy", "all", subresources=_SCALE_STATUS),
    Row("apps/v1", "ReplicaSet", "replicasets", True, "rs", "all", subresources=_SCALE_STATUS),
    Row("apps/v1", "StatefulSet", "statefulsets", True, "sts", "all", subresources=_SCALE_STATUS),
    Row("events.k8s.io/v1", "Event", "events", True, "ev", stored_as="v1"),
    Row(_AUTHN, "SelfSubjectReview", "selfsubjectreviews", False, verbs=CREATE),
    Row(_AUTHN, "TokenReview", "tokenreviews", False, verbs=CREATE),
    Row(_AUTHZ, "LocalSubjectAccessReview", "localsubjectaccessreviews", True, verbs=CREATE),
    Row(_AUTHZ, "SelfSubjectAccessReview", "selfsubjectaccessreviews", False, verbs=CREATE),
    Row(_AUTHZ, "SelfSubjectRulesReview", "selfsubjectrulesreviews", False, verbs=CREATE),
    Row(_AUTHZ, "SubjectAccessReview", "subjectaccessreviews", False, verbs=CREATE),
    Row("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True, "hpa", "all", ALL, _STATUS),
    Row(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        True,
        "hpa",
        "all",
        ALL,
        _STATUS,
        stored_as="autoscaling/v2",
    ),
    Row("batch/v1", "CronJob", "cronjobs", True, "cj", "all", subresources=_STATUS),
    Row("batch/v1", "Job", "jobs", True, "", "all", subresources=_STATUS),
    Row(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        False,
        "csr",
        subresources=(("approval", "", STATUS), *_STATUS),
    ),
    Row(_NET, "IngressClass", "ingressclasses", False),
    Row(_NET, "Ingress", "ingresses", True, "ing", subresources=_STATUS),
    Row(_NET, "NetworkPolicy", "networkpolicies", True, "netpol"),
    Row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True, "pdb", subresources=_STATUS),
    Row(_RBAC, "ClusterRoleBinding", "clusterrolebindings", False),
    Row(_RBAC, "ClusterRole", "clusterroles", False),
    Row(_RBAC, "RoleBinding", "rolebindings", True),
    Row(_RBAC, "Role", "roles", True),
    Row(_STORAGE, "CSIDriver", "csidrivers", False),
    Row(_STORAGE, "CSINode", "csinodes", False),
    Row(_STORAGE, "CSIStorageCapacity", "csistoragecapacities", True),
    Row(_STORAGE, "StorageClass", "storageclasses", False, "sc"),
    Row(_STORAGE, "VolumeAttachment", "volumeattachments", False, subresources=_STATUS),
    Row(_REGISTRATION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False, "", "api-extensions"),
    Row(
        _REGISTRATION,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        False,
        "",
        "api-extensions",
        subresources=_STATUS,
    ),
    Row(
        _REGISTRATION,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        False,
        "",
        "api-extensions",
    ),
    Row(
        _REGISTRATION,
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        False,
        "",
        "api-extensions",
    ),
    Row(
        _EXTENSIONS,
        "CustomResourceDefinition",
        "customresourcedefinitions",
        False,
        "crd crds",
        "api-extensions",
        subresources=_STATUS,
    ),
    Row("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", False, "pc"),
    Row("coordination.k8s.io/v1", "Lease", "leases", True),
    Row("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", False),
    Row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", True),
    Row(_FLOW, "FlowSchema", "flowschemas", False, subresources=_STATUS),
    Row(_FLOW, "PriorityLevelConfiguration", "prioritylevelconfigurations", False, subresources=_STATUS),
)
