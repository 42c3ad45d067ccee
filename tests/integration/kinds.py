"""One object of every kind that can be stored: a minimal valid one, what it reads back as, and one that is refused."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """`body` is stored and reads back with at least `stored`; with the fields of `wrong` it is refused, with `text`
    after "… is invalid: ". `prefix`: what the object's name begins with where the kind asks for something."""

    api_version: str
    kind: str
    body: Object
    stored: Object
    wrong: Object
    text: str
    name: str = "minimal"
    annotations: Object = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.api_version}.{self.kind}"


def _request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


LABELS = {"app": "minimal"}
CONTAINER = {"name": "c", "image": "registry.example/c:1"}
POD = {"containers": [CONTAINER], "nodeName": "nowhere"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER], "nodeSelector": {"no": "node"}}}
JOB = {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}, "suspend": True}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
DEFAULTED_CONTAINER = {
    **CONTAINER,
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
DEFAULTED_POD = {
    "containers": [DEFAULTED_CONTAINER],
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
DEFAULTED_TEMPLATE = {"metadata": {"labels": LABELS}, "spec": DEFAULTED_POD}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["widgets"]}
HOOK = {
    "name": "a.b.c",
    "clientConfig": {"url": "https://127.0.0.1:1/x"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [RULE],
    "failurePolicy": "Ignore",
}
DEFAULTED_HOOK = {
    "timeoutSeconds": 10,
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "rules": [{**RULE, "scope": "*"}],
}
FLOW_RULE = {
    "subjects": [{"kind": "User", "user": {"name": "u"}}],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}],
}
SELECTOR_MISMATCH = 'Invalid value: map[string]string{"app":"minimal"}: `selector` does not match template `labels`'
OTHER = {"matchLabels": {"app": "other"}}

KINDS = [
    Kind(
        "v1",
        "ConfigMap",
        {"data": {"a": "1"}},
        {"data": {"a": "1"}},
        {"data": {"a/b": ""}},
        "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or "
        "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ),
    Kind(
        "v1",
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": "10.9.8.7"}], "ports": [{"port": 80}]}]},
        {"subsets": [{"addresses": [{"ip": "10.9.8.7"}], "ports": [{"port": 80, "protocol": "TCP"}]}]},
        {"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 80}]}]},
        'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, '
        "::1/128)",
    ),
    Kind(
        "v1",
        "Event",
        {"involvedObject": {"namespace": "{namespace}"}, "reason": "Said", "message": "hello"},
        {"reason": "Said", "source": {}, "firstTimestamp": None},
        {"involvedObject": {"namespace": "elsewhere"}},
        'involvedObject.namespace: Invalid value: "elsewhere": does not match event.namespace',
    ),
    Kind(
        "v1",
        "LimitRange",
        {"spec": {"limits": [{"type": "Container", "max": {"example.com/gpu": "2"}}]}},
        {
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "max": {"example.com/gpu": "2"},
                        "default": {"example.com/gpu": "2"},
                        "defaultRequest": {"example.com/gpu": "2"},
                    }
                ]
            }
        },
        {"spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}},
        'spec.limits[1].type: Duplicate value: "Pod"',
    ),
    Kind(
        "v1",
        "Namespace",
        {},
        {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
        {"spec": {"finalizers": ["mine"]}},
        'spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
    ),
    Kind(
        "v1",
        "Node",
        {"spec": {"unschedulable": True}},
        {"spec": {"unschedulable": True}},
        {"spec": {"podCIDRs": ["10.1.0.0/24", "10.1.0.0/24"], "podCIDR": "10.1.0.0/24"}},
        '[spec.podCIDRs: Invalid value: []string{"10.1.0.0/24", "10.1.0.0/24"}: may specify no more than one CIDR for '
        'each IP family, spec.podCIDRs[1]: Duplicate value: "10.1.0.0/24"]',
    ),
    Kind(
        "v1",
        "PersistentVolume",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/x"},
                "storageClassName": "none",
            }
        },
        {
            "spec": {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"type": ""}},
        },
        {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}},
        "spec: Required value: must specify a volume type",
    ),
    Kind(
        "v1",
        "PersistentVolumeClaim",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "0.5Gi"}},
                "storageClassName": "none",
            }
        },
        {
            "spec": {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "512Mi"}}},
            "status": {"phase": "Pending"},
        },
        {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none"}},
        "spec.resources[storage]: Required value",
    ),
    Kind(
        "v1",
        "Pod",
        {"spec": POD},
        {
            "spec": {**DEFAULTED_POD, "enableServiceLinks": True, "serviceAccountName": "default", "priority": 0},
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        },
        {"spec": {**POD, "restartPolicy": "Perhaps"}},
        'spec.restartPolicy: Unsupported value: "Perhaps": supported values: "Always", "OnFailure", "Never"',
    ),
    Kind(
        "v1",
        "PodTemplate",
        {"template": TEMPLATE},
        {"template": DEFAULTED_TEMPLATE, "metadata": {"generation": 1}},
        {"template": {"spec": {"containers": []}}},
        "template.spec.containers: Required value",
    ),
    Kind(
        "v1",
        "ReplicationController",
        {"spec": {"replicas": 0, "template": TEMPLATE}},
        {"spec": {"replicas": 0, "selector": LABELS, "template": DEFAULTED_TEMPLATE}, "metadata": {"labels": LABELS}},
        {"spec": {"replicas": 0, "selector": {"app": "other"}, "template": TEMPLATE}},
        f"spec.template.metadata.labels: {SELECTOR_MISMATCH}",
    ),
    Kind(
        "v1",
        "ResourceQuota",
        {"spec": {"hard": {"services.loadbalancers": "5"}}},
        {"spec": {"hard": {"services.loadbalancers": "5"}}},
        {"spec": {"hard": {"storage": "1"}}},
        'spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota',
    ),
    Kind(
        "v1",
        "Secret",
        {"stringData": {"a": "b"}},
        {"type": "Opaque", "data": {"a": "Yg=="}},
        {"type": "kubernetes.io/ssh-auth"},
        "data[ssh-privatekey]: Required value",
    ),
    Kind(
        "v1",
        "Service",
        {"spec": {"ports": [{"port": 80}]}},
        {
            "spec": {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            },
            "status": {"loadBalancer": {}},
        },
        {"spec": {}},
        "spec.ports: Required value",
    ),
    Kind(
        "v1",
        "ServiceAccount",
        {"secrets": [{"name": "s", "kind": "Secret"}]},
        {"secrets": [{"name": "s"}]},
        {"metadata": {"labels": {"a": "b c"}}},
        'metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric '
        "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
        "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        {"webhooks": [HOOK]},
        {"webhooks": [{**DEFAULTED_HOOK, "reinvocationPolicy": "Never"}], "metadata": {"generation": 1}},
        {"webhooks": [{**HOOK, "timeoutSeconds": 31}]},
        "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        {"spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}},
        {
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": {},
                    "objectSelector": {},
                    "resourceRules": [{**RULE, "scope": "*"}],
                },
            },
            "metadata": {"generation": 1},
        },
        {"spec": {"validations": [{"expression": "true"}]}},
        "spec.matchConstraints: Required value",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "nowhere", "validationActions": ["Audit"]}},
        {"spec": {"policyName": "nowhere"}, "metadata": {"generation": 1}},
        {"spec": {"policyName": "nowhere"}},
        "spec.validationActions: Required value: at least one validation action is required",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        {"webhooks": [HOOK]},
        {"webhooks": [DEFAULTED_HOOK], "metadata": {"generation": 1}},
        {"webhooks": [{**HOOK, "name": "short"}]},
        'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots',
    ),
    Kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        {
            "spec": {
                "group": "minimal.example",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }
                ],
            }
        },
        {"spec": {"names": {"singular": "thing", "listKind": "ThingList"}, "conversion": {"strategy": "None"}}},
        {"spec": {"group": "minimal.example", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}}},
        "",
        name="things.minimal.example",
    ),
    Kind(
        "apiregistration.k8s.io/v1",
        "APIService",
        {
            "spec": {
                "group": "nobody.example",
                "version": "v1",
                "groupPriorityMinimum": 100,
                "versionPriority": 10,
                "service": {"name": "nobody", "namespace": "{namespace}"},
            }
        },
        {"spec": {"service": {"port": 443}}},
        {"spec": {"group": "nobody.example", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 1001}},
        "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
        name="v1.nobody.example",
    ),
    Kind(
        "apps/v1",
        "ControllerRevision",
        {"data": {"a": 1}, "revision": 1},
        {"data": {"a": 1}, "revision": 1},
        {"data": {"a": 1}, "revision": -1},
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ),
    Kind(
        "apps/v1",
        "DaemonSet",
        {"spec": SELECTED},
        {
            "spec": {
                "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": DEFAULTED_TEMPLATE,
            },
            "metadata": {"generation": 1, "annotations": {"deprecated.daemonset.template.generation": "1"}},
        },
        {"spec": {**SELECTED, "selector": OTHER}},
        f"spec.template.metadata.labels: {SELECTOR_MISMATCH}",
    ),
    Kind(
        "apps/v1",
        "Deployment",
        {"spec": {**SELECTED, "replicas": 0}},
        {
            "spec": {
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 10,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
                },
                "template": DEFAULTED_TEMPLATE,
            },
            "metadata": {"generation": 1},
        },
        {"spec": {**SELECTED, "selector": OTHER}},
        f"spec.template.metadata.labels: {SELECTOR_MISMATCH}",
    ),
    Kind(
        "apps/v1",
        "ReplicaSet",
        {"spec": {**SELECTED, "replicas": 0}},
        {"spec": {"replicas": 0, "template": DEFAULTED_TEMPLATE}, "metadata": {"generation": 1}},
        {"spec": {**SELECTED, "replicas": -1}},
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    ),
    Kind(
        "apps/v1",
        "StatefulSet",
        {"spec": {**SELECTED, "replicas": 0, "serviceName": "s"}},
        {
            "spec": {
                "podManagementPolicy": "OrderedReady",
                "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
            "metadata": {"generation": 1},
        },
        {"spec": {**SELECTED, "podManagementPolicy": "Random"}},
        "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
    ),
    Kind(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "none"}, "maxReplicas": 2}},
        {"spec": {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 80}},
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "none"}}},
        "[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid value: 0: must be "
        "greater than or equal to `minReplicas`]",
    ),
    Kind(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "none"}, "maxReplicas": 2}},
        {
            "spec": {
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                    }
                ],
            }
        },
        {"spec": {"scaleTargetRef": {"kind": "", "name": "none"}, "maxReplicas": 1}},
        "spec.scaleTargetRef.kind: Required value",
    ),
    Kind(
        "batch/v1",
        "CronJob",
        {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}}},
        {
            "spec": {
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            },
            "metadata": {"generation": 1},
        },
        {"spec": {"schedule": "now", "jobTemplate": {"spec": JOB}}},
        'spec.schedule: Invalid value: "now": expected exactly 5 fields, found 1: [now]',
    ),
    Kind(
        "batch/v1",
        "Job",
        {"spec": JOB},
        {
            "spec": {
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "completions": 1,
                "parallelism": 1,
                "podReplacementPolicy": "TerminatingOrFailed",
                "suspend": True,
            },
            "metadata": {"generation": 1},
        },
        {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}},
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    Kind(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        {"spec": {"request": _request(), "usages": ["client auth"], "signerName": "minimal.example/none"}},
        {"spec": {"username": "kubernetes-admin"}, "status": {}},
        {"spec": {"request": _request(), "signerName": "minimal.example/none"}},
        "spec.usages: Required value: usages must be provided",
    ),
    Kind(
        "coordination.k8s.io/v1",
        "Lease",
        {"spec": {"holderIdentity": "me"}},
        {"spec": {"holderIdentity": "me"}},
        {"spec": {"leaseDurationSeconds": 0}},
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
    ),
    Kind(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.9.8.7"]}], "ports": [{"port": 80}]},
        {"ports": [{"name": "", "port": 80, "protocol": "TCP"}], "metadata": {"generation": 1}},
        {"addressType": "IPv9", "endpoints": []},
        'addressType: Unsupported value: "IPv9": supported values: "FQDN", "IPv4", "IPv6"',
    ),
    Kind(
        "events.k8s.io/v1",
        "Event",
        {
            "regarding": {"namespace": "{namespace}", "kind": "Pod", "name": "p"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "minimal.example/c",
            "reportingInstance": "i",
            "action": "Act",
            "reason": "Said",
            "type": "Normal",
            "note": "hello",
        },
        {"note": "hello", "deprecatedSource": {}, "regarding": {"kind": "Pod"}},
        {"regarding": {"namespace": "{namespace}"}, "type": "Normal"},
        "eventTime: Required value",
    ),
    Kind(
        "flowcontrol.apiserver.k8s.io/v1",
        "FlowSchema",
        {"spec": {"priorityLevelConfiguration": {"name": "exempt"}, "rules": [FLOW_RULE]}},
        {"spec": {"matchingPrecedence": 1000}, "metadata": {"generation": 1}},
        {"spec": {"priorityLevelConfiguration": {}}},
        "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
    ),
    Kind(
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
        {"spec": {"limited": {"nominalConcurrencyShares": 30, "lendablePercent": 0}}, "metadata": {"generation": 1}},
        {"spec": {"type": "Limited"}},
        "spec.limited: Required value: must not be empty when type is Limited",
    ),
    Kind(
        "networking.k8s.io/v1",
        "Ingress",
        {"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}},
        {"spec": {"defaultBackend": {"service": {"name": "web"}}}, "status": {"loadBalancer": {}}},
        {"spec": {"defaultBackend": {"service": {"name": "web"}}}},
        "spec.defaultBackend: Required value: port name or number is required",
    ),
    Kind(
        "networking.k8s.io/v1",
        "IngressClass",
        {"spec": {"controller": "minimal.example/c", "parameters": {"kind": "K", "name": "n"}}},
        {"spec": {"parameters": {"scope": "Cluster"}}, "metadata": {"generation": 1}},
        {"spec": {"controller": "plain"}},
        'spec.controller: Invalid value: "plain": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    Kind(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 80}]}]}},
        {"spec": {"policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}},
        {"spec": {"podSelector": {}, "ingress": [{"from": [{}]}]}},
        "spec.ingress[0].from[0]: Required value: must specify a peer",
    ),
    Kind(
        "node.k8s.io/v1",
        "RuntimeClass",
        {"handler": "runc"},
        {"handler": "runc"},
        {"handler": "runc", "scheduling": {"tolerations": [{"operator": "Never", "key": "a"}]}},
        'scheduling.tolerations.tolerations[0].operator: Unsupported value: "Never": supported values: "Equal", '
        '"Exists"',
    ),
    Kind(
        "policy/v1",
        "PodDisruptionBudget",
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
        {"spec": {"minAvailable": 1}, "metadata": {"generation": 1}},
        {"spec": {"maxUnavailable": "101%"}},
        'spec.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"101%"}: must not be greater '
        "than 100%",
    ),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
        {"rules": [{"verbs": ["get"], "apiGroups": [""]}]},
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        {"roleRef": ROLE_REF, "subjects": [{"kind": "User", "name": "u"}]},
        {"subjects": [{"apiGroup": "rbac.authorization.k8s.io"}]},
        {"roleRef": {**ROLE_REF, "kind": "Role"}},
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
    ),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "Role",
        {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
        {"rules": [{"verbs": ["get"]}]},
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
        'rules[0].nonResourceURLs: Invalid value: []string{"/x"}: namespaced rules cannot apply to non-resource URLs',
    ),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        {"roleRef": ROLE_REF, "subjects": [{"kind": "Group", "name": "g"}]},
        {"subjects": [{"apiGroup": "rbac.authorization.k8s.io"}]},
        {"roleRef": ROLE_REF, "subjects": [{"kind": "Cat", "name": "c"}]},
        'subjects[0].kind: Unsupported value: "Cat": supported values: "ServiceAccount", "User", "Group"',
    ),
    Kind(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        {"value": 7},
        {"value": 7, "preemptionPolicy": "PreemptLowerPriority"},
        {"value": 1_000_000_001},
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
    ),
    Kind(
        "storage.k8s.io/v1",
        "CSIDriver",
        {"spec": {}},
        {
            "spec": {
                "attachRequired": True,
                "podInfoOnMount": False,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "volumeLifecycleModes": ["Persistent"],
            }
        },
        {"spec": {"fsGroupPolicy": "Ever"}},
        'spec.fsGroupPolicy: Unsupported value: "Ever": supported values: "File", "None", "ReadWriteOnceWithFSType"',
    ),
    Kind(
        "storage.k8s.io/v1",
        "CSINode",
        {"spec": {"drivers": [{"name": "d", "nodeID": "n", "topologyKeys": []}]}},
        {"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}},
        {"spec": {"drivers": [{"name": "d", "nodeID": ""}]}},
        "spec.drivers[0].nodeID: Required value",
    ),
    Kind(
        "storage.k8s.io/v1",
        "CSIStorageCapacity",
        {"storageClassName": "c"},
        {"storageClassName": "c"},
        {"storageClassName": "c", "capacity": "-1"},
        'capacity: Invalid value: "-1": must be greater than or equal to 0',
    ),
    Kind(
        "storage.k8s.io/v1",
        "StorageClass",
        {"provisioner": "minimal.example/none"},
        {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
        {"provisioner": "minimal.example/none", "reclaimPolicy": "Recycle"},
        'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
    ),
    Kind(
        "storage.k8s.io/v1",
        "VolumeAttachment",
        {"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
        {"spec": {"attacher": "d"}},
        {"spec": {"attacher": "d", "nodeName": "n", "source": {}}},
        "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
    ),
]
