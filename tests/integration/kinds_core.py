"""The kinds of the core group."""

from __future__ import annotations

from tests.integration.kinds_parts import (
    DEFAULTED_POD,
    DEFAULTED_TEMPLATE,
    LABELS,
    POD,
    SELECTOR_MISMATCH,
    TEMPLATE,
    Kind,
)

CORE = [
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
]
