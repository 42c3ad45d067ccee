"""What `kubectl get` and `-o wide` print: a row of every kind, in upstream's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.registry.autoscalers import to_v1
from controlplane.apiserver.tables.printers import PRINTERS
from controlplane.apiserver.tables.render import Tables

Object = dict[str, Any]

NOW = datetime(2026, 1, 10, 12, 0, 0, tzinfo=UTC)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


TEMPLATE = {
    "metadata": {"labels": {"app": "web", "a": "1"}},
    "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]},
}
SELECTOR = {
    "matchLabels": {"app": "web"},
    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
}
CHOSEN = "app=web,tier in (a,b)"


def container(name: str = "c", *, restarts: int = 0, ready: bool = True, ended: str = "", **state: Any) -> Object:
    last = {"terminated": {"finishedAt": ended}} if ended else {}
    return {"name": name, "restartCount": restarts, "ready": ready, "state": state, "lastState": last}


def pod(*statuses: Object, init: list[Object] | None = None, spec: Object | None = None, **status: Any) -> Object:
    containers = [{"name": each["name"]} for each in statuses] or [{"name": "c"}]
    return {
        "spec": {"containers": containers, **(spec or {})},
        "status": {"containerStatuses": list(statuses), "initContainerStatuses": init or [], **status},
    }


READY = [{"type": "Ready", "status": "True"}]
RUN: Object = {"running": {}}
WIDE = ["<none>", "<none>", "<none>", "<none>"]
INIT = {"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}

PODS: list[tuple[str, Object, list[Any]]] = [
    ("running", pod(container(**RUN), phase="Running"), ["1/1", "Running", "0"]),
    (
        "restarted",
        pod(container(restarts=3, ended=ago(minutes=5), **RUN), phase="Running"),
        ["1/1", "Running", "3 (5m ago)"],
    ),
    ("restarted, no time", pod(container(restarts=3, **RUN), phase="Running"), ["1/1", "Running", "3"]),
    (
        "waiting",
        pod(container(ready=False, waiting={"reason": "ImagePullBackOff"}), phase="Pending"),
        ["0/1", "ImagePullBackOff", "0"],
    ),
    (
        "one of two ended",
        pod(container(**RUN), container("d", ready=False, terminated={"reason": "Completed"}), phase="Running"),
        ["1/2", "NotReady", "0"],
    ),
    (
        "one of two ended, ready",
        pod(
            container(**RUN), container("d", ready=False, terminated={"reason": "Completed"}), phase="Running",
            conditions=READY,
        ),
        ["1/2", "Running", "0"],
    ),
    ("signal", pod(container(ready=False, terminated={"signal": 9}), phase="Failed"), ["0/1", "Signal:9", "0"]),
    ("exit", pod(container(ready=False, terminated={"exitCode": 2}), phase="Failed"), ["0/1", "ExitCode:2", "0"]),
    ("evicted", pod(phase="Failed", reason="Evicted"), ["0/1", "Evicted", "0"]),
    (
        "gated",
        pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
        ["0/1", "SchedulingGated", "0"],
    ),
    (
        "initializing",
        pod(container(ready=False, waiting={"reason": "PodInitializing"}), phase="Pending", spec=INIT,
            init=[container("i", ready=False, **RUN)]),
        ["0/2", "Init:0/2", "0"],
    ),
    (
        "init fails",
        pod(phase="Pending", spec=INIT, init=[container("i", ready=False, restarts=1, terminated={"exitCode": 3})]),
        ["0/2", "Init:ExitCode:3", "1"],
    ),
    (
        "init waits",
        pod(phase="Pending", spec=INIT, init=[container("i", ready=False, waiting={"reason": "CrashLoopBackOff"})]),
        ["0/2", "Init:CrashLoopBackOff", "0"],
    ),
    (
        "sidecar",
        pod(container(**RUN), phase="Running", spec=INIT, init=[
            container("i", ready=False, restarts=7, terminated={"exitCode": 0}),
            {**container("s", restarts=2, **RUN), "started": True},
        ]),
        ["2/2", "Running", "2"],
    ),
]  # fmt: skip


def row(group: str, kind: str, obj: Object, **meta: Any) -> list[Any]:
    found = {"kind": kind, **obj, "metadata": {"name": "n", "creationTimestamp": ago(hours=3), **meta}}
    return PRINTERS[group, kind].cells(found, NOW)


@pytest.mark.parametrize(("obj", "expected"), [each[1:] for each in PODS], ids=[each[0] for each in PODS])
def test_pods(obj: Object, expected: list[Any]) -> None:
    assert row("", "Pod", obj) == ["n", *expected, "3h", *WIDE]


def test_pods_that_end_and_where_they_are() -> None:
    assert row("", "Pod", pod(container(**RUN), phase="Running"), deletionTimestamp=ago())[2] == "Terminating"
    assert row("", "Pod", pod(phase="Succeeded"), deletionTimestamp=ago())[2] == "Succeeded"
    assert row("", "Pod", pod(phase="Running", reason="NodeLost"), deletionTimestamp=ago())[2] == "Unknown"
    placed = pod(
        phase="Running", podIPs=[{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], nominatedNodeName="n2",
        spec={"nodeName": "n1", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        conditions=[{"type": "a", "status": "True"}],
    )  # fmt: skip
    assert row("", "Pod", placed)[5:] == ["10.0.0.1", "n1", "n2", "1/2"]


def test_a_row_says_that_its_pod_is_done() -> None:
    resource = CATALOGUE.find("", "v1", "pods")
    assert resource is not None
    objects = [{"metadata": {"name": phase}, **pod(phase=phase)} for phase in ("Running", "Succeeded", "Failed")]
    rows = Tables(ManualClock(NOW)).table(resource, objects, "v1", "None")["rows"]
    assert [row.get("conditions") for row in rows] == [
        None,
        [{"type": "Completed", "status": "True", "reason": "Succeeded",
          "message": "The pod has completed successfully."}],
        [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}],
    ]  # fmt: skip


NODE = {
    "spec": {"unschedulable": True},
    "status": {
        "conditions": [{"type": "Ready", "status": "False"}],
        "addresses": [
            {"type": "Hostname", "address": "h"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fd00::1"},
        ],
        "nodeInfo": {"kubeletVersion": "v1.32.0", "osImage": "Debian", "containerRuntimeVersion": "containerd://1"},
    },
}


def metric(kind: str, source: str, target: Object, current: Object | None = None, **more: Any) -> tuple[Object, Object]:
    status = {"type": kind, source: {"current": current}} if current is not None else {}
    return {"type": kind, source: {"target": target, **more}}, status


def scaled(*metrics: tuple[Object, Object]) -> Object:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    return {
        "spec": {**spec, "metrics": [each[0] for each in metrics]},
        "status": {"currentMetrics": [each[1] for each in metrics], "currentReplicas": 2},
    }


CPU = metric("Resource", "resource", {"averageUtilization": 80}, {"averageUtilization": 12}, name="cpu")

ROWS: list[tuple[str, str, Object, list[Any]]] = [
    ("apps", "Deployment", {"spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
     "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}},
     ["n", "1/3", 2, 1, "3h", "c,d", "i,j", CHOSEN]),
    ("apps", "ReplicaSet", {"spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
     "status": {"replicas": 2, "readyReplicas": 1}}, ["n", 3, 2, 1, "3h", "c,d", "i,j", CHOSEN]),
    ("", "ReplicationController", {"spec": {"replicas": 3, "template": TEMPLATE, "selector": {"b": "2", "a": "1"}},
     "status": {"replicas": 2}}, ["n", 3, 2, 0, "3h", "c,d", "i,j", "a=1,b=2"]),
    ("", "ReplicationController", {"spec": {"replicas": 0, "template": TEMPLATE}},
     ["n", 0, 0, 0, "3h", "c,d", "i,j", "<none>"]),
    ("apps", "DaemonSet", {"spec": {"template": TEMPLATE, "selector": SELECTOR},
     "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3,
     "updatedNumberScheduled": 2, "numberAvailable": 1}}, ["n", 5, 4, 3, 2, 1, "<none>", "3h", "c,d", "i,j", CHOSEN]),
    ("apps", "StatefulSet", {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 1}},
     ["n", "1/2", "3h", "c,d", "i,j"]),
    ("batch", "Job", {"spec": {"completions": 3, "template": TEMPLATE, "selector": SELECTOR},
     "status": {"succeeded": 1, "startTime": ago(minutes=3)}},
     ["n", "Running", "1/3", "3m", "3h", "c,d", "i,j", CHOSEN]),
    ("batch", "Job", {"spec": {"completions": 1, "template": TEMPLATE, "selector": SELECTOR},
     "status": {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}},
     ["n", "Running", "0/1", "", "3h", "c,d", "i,j", CHOSEN]),
    ("batch", "Job", {"spec": {"parallelism": 4, "template": TEMPLATE, "selector": SELECTOR},
     "status": {"startTime": ago(minutes=3), "completionTime": ago(seconds=90),
     "conditions": [{"type": "Complete", "status": "True"}]}},
     ["n", "Complete", "0/1 of 4", "90s", "3h", "c,d", "i,j", CHOSEN]),
    ("batch", "CronJob", {"spec": {"schedule": "* * * * *", "suspend": False, "jobTemplate": {"spec": {
     "template": TEMPLATE}}}, "status": {"active": [{}], "lastScheduleTime": ago(seconds=30)}},
     ["n", "* * * * *", "<none>", "False", 1, "30s", "3h", "c,d", "i,j", "<none>"]),
    ("policy", "PodDisruptionBudget", {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 2}},
     ["n", "50%", "N/A", 2, "3h"]),
    ("autoscaling", "HorizontalPodAutoscaler", scaled(), ["n", "Deployment/web", "<none>", "<unset>", 5, 2, "3h"]),
    ("autoscaling", "HorizontalPodAutoscaler", scaled(CPU),
     ["n", "Deployment/web", "cpu: 12%/80%", "<unset>", 5, 2, "3h"]),
    ("autoscaling", "HorizontalPodAutoscaler", scaled(
        metric("Resource", "resource", {"averageValue": "1Gi"}, name="memory"),
        metric("Pods", "pods", {"averageValue": "10"}, {"averageValue": "5"}), CPU),
     ["n", "Deployment/web", "memory: <unknown>/1Gi, 5/10 + 1 more...", "<unset>", 5, 2, "3h"]),
    ("autoscaling", "HorizontalPodAutoscaler", scaled(
        metric("External", "external", {"averageValue": "10"}, {"averageValue": "3"}),
        metric("Object", "object", {"value": "10"}, {"value": "7"})),
     ["n", "Deployment/web", "3/10 (avg), 7/10", "<unset>", 5, 2, "3h"]),
    ("", "Service", {"spec": {"type": "NodePort", "clusterIPs": ["10.96.0.5"], "selector": {"app": "x"},
     "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}},
     ["n", "NodePort", "10.96.0.5", "<none>", "80:30080/TCP,53/UDP", "3h", "app=x"]),
    ("", "Service", {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.5"], "externalIPs": ["1.2.3.4"]},
     "status": {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "a.example"}, {"ip": "5.5.5.5"}]}}},
     ["n", "LoadBalancer", "10.96.0.5", "5.5.5.5,9.9.9.9,a.example,1.2.3.4", "<none>", "3h", "<none>"]),
    ("", "Service", {"spec": {"type": "LoadBalancer", "clusterIPs": ["None"]}},
     ["n", "LoadBalancer", "None", "<pending>", "<none>", "3h", "<none>"]),
    ("", "Service", {"spec": {"type": "ExternalName", "externalName": "a.example"}},
     ["n", "ExternalName", "<none>", "a.example", "<none>", "3h", "<none>"]),
    ("", "Endpoints", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80},
     {"port": 81}]}]}, ["n", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 1 more...", "3h"]),
    ("", "Endpoints", {}, ["n", "<none>", "3h"]),
    ("", "Endpoints", {"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
     ["n", "", "3h"]),
    ("discovery.k8s.io", "EndpointSlice", {"addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {}],
     "endpoints": [{"addresses": ["10.0.0.1"]}] * 5}, ["n", "IPv4", "80,x,*", "10.0.0.1,10.0.0.1,10.0.0.1 + 2 more...",
     "3h"]),
    ("discovery.k8s.io", "EndpointSlice", {"addressType": "IPv4", "ports": [{"name": "", "protocol": "TCP"}]},
     ["n", "IPv4", "<unset>", "<unset>", "3h"]),
    ("discovery.k8s.io", "EndpointSlice", {"addressType": "IPv4"}, ["n", "IPv4", "<unset>", "<unset>", "3h"]),
    ("networking.k8s.io", "Ingress", {"spec": {"tls": [{}], "rules": [{"host": h} for h in "abcd"]},
     "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}}},
     ["n", "<none>", "a,b,c + 1 more...", "1.1.1.1", "80, 443", "3h"]),
    ("networking.k8s.io", "Ingress", {"spec": {"rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {}]}},
     ["n", "<none>", "a,b,c + 1 more...", "", "80", "3h"]),
    ("networking.k8s.io", "Ingress", {"spec": {"rules": [{}, {"host": "a"}, {"host": "b"}, {"host": "c"}]}},
     ["n", "<none>", "a,b,c", "", "80", "3h"]),
    ("networking.k8s.io", "Ingress", {"spec": {"ingressClassName": "nginx"}}, ["n", "nginx", "*", "", "80", "3h"]),
    ("networking.k8s.io", "IngressClass", {"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K",
     "name": "p"}}}, ["n", "c", "K.g/p", "3h"]),
    ("networking.k8s.io", "NetworkPolicy", {"spec": {"podSelector": {}}}, ["n", "<none>", "3h"]),
    ("", "Node", NODE, ["n", "NotReady,SchedulingDisabled", "<none>", "3h", "v1.32.0", "10.0.0.1", "<none>", "Debian",
     "<unknown>", "containerd://1"]),
    ("", "PersistentVolume", {"spec": {"capacity": {"storage": "1Gi"},
     "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
     "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "a", "name": "b"}, "storageClassName": "fast",
     "volumeMode": "Block"}, "status": {"phase": "Bound"}},
     ["n", "1Gi", "RWO,RWX", "Retain", "Bound", "a/b", "fast", "<unset>", "", "3h", "Block"]),
    ("", "PersistentVolumeClaim", {"spec": {"volumeName": "v", "storageClassName": "fast"},
     "status": {"phase": "Bound", "accessModes": ["ReadOnlyMany"]}},
     ["n", "Bound", "v", "0", "ROX", "fast", "<unset>", "3h", "<unset>"]),
    ("storage.k8s.io", "StorageClass", {"provisioner": "p"}, ["n", "p", "Delete", "Immediate", False, "3h"]),
    ("storage.k8s.io", "CSIDriver", {"spec": {"tokenRequests": [{"audience": "a"}],
     "volumeLifecycleModes": ["Persistent"]}},
     ["n", True, False, False, "a", False, "Persistent", "3h"]),
    ("storage.k8s.io", "VolumeAttachment", {"spec": {"attacher": "a", "nodeName": "n1", "source": {
     "persistentVolumeName": "v"}}, "status": {"attached": True}}, ["n", "a", "v", "n1", True, "3h"]),
    ("storage.k8s.io", "CSIStorageCapacity", {"storageClassName": "s", "capacity": "1Gi"}, ["n", "s", "1Gi"]),
    ("certificates.k8s.io", "CertificateSigningRequest", {"spec": {"signerName": "s", "username": "u",
     "expirationSeconds": 3600}, "status": {"certificate": "x", "conditions": [{"type": "Approved"}]}},
     ["n", "3h", "s", "u", "60m", "Approved,Issued"]),
    ("certificates.k8s.io", "CertificateSigningRequest", {"spec": {}, "status": {"conditions": [{"type": "Approved"},
     {"type": "Failed"}]}}, ["n", "3h", "<none>", "", "<none>", "Approved,Failed"]),
    ("", "Event", {"type": "Warning", "reason": "R", "message": " m\n", "count": 3, "firstTimestamp": ago(minutes=9),
     "lastTimestamp": ago(minutes=2), "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "f"},
     "source": {"component": "kubelet", "host": "n1"}},
     ["2m", "Warning", "R", "pod/p", "f", "kubelet, n1", "m", "9m", 3, "n"]),
    ("events.k8s.io", "Event", {"type": "Normal", "reason": "R", "note": "m", "eventTime": ago(minutes=9),
     "regarding": {"kind": "Node", "name": "n1"}, "reportingController": "c", "series": {"count": 5,
     "lastObservedTime": ago(seconds=20)}}, ["20s", "Normal", "R", "node/n1", "", "c", "m", "9m", 5, "n"]),
    ("", "ResourceQuota", {"spec": {"hard": {"pods": "9"}}, "status": {"hard": {"requests.cpu": "2", "limits.cpu": "4",
     "pods": "5"}, "used": {"pods": "1"}}}, ["n", "pods: 1/5, requests.cpu: 0/2", "limits.cpu: 0/4", "3h"]),
    ("rbac.authorization.k8s.io", "RoleBinding", {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
     {"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "a", "name": "s"},
     {"kind": "User", "name": "v"},
     ]}, ["n", "Role/r", "3h", "u, v", "", "a/s"]),
    ("apps", "ControllerRevision", {"revision": 2}, ["n", "<none>", 2, "3h"]),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", {"spec": {"validations": [{}, {}], "paramKind": {
     "apiVersion": "v1", "kind": "ConfigMap"}}}, ["n", 2, "v1/ConfigMap", "3h"]),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", {"spec": {"policyName": "p", "paramRef": {
     "name": "x"}}}, ["n", "p", "*/x", "3h"]),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", {"spec": {"policyName": "p", "paramRef": {
     "selector": {"matchLabels": {"a": "b"}}}}},
     ["n", "p", "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}",
     "3h"]),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", {"spec": {"matchingPrecedence": 5, "priorityLevelConfiguration": {
     "name": "l"}}, "status": {"conditions": [{"type": "Dangling", "status": "False"}]}},
     ["n", "l", 5, "<none>", "3h", "False"]),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", {"spec": {"type": "Exempt"}},
     ["n", "Exempt", "<none>", "<none>", "<none>", "<none>", "3h"]),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", {"spec": {"type": "Limited", "limited": {
     "nominalConcurrencyShares": 20,
     "limitResponse": {"queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}}}}},
     ["n", "Limited", 20, 64, 6, 50, "3h"]),
    ("apiregistration.k8s.io", "APIService", {"spec": {"service": {"namespace": "a", "name": "b"}}, "status": {
     "conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}},
     ["n", "a/b", "False (MissingEndpoints)", "3h"]),
    ("apiregistration.k8s.io", "APIService", {"spec": {}, "status": {"conditions": [{"type": "Available",
     "status": "Unknown"}]}}, ["n", "Local", "Unknown", "3h"]),
    ("apiregistration.k8s.io", "APIService", {"spec": {}, "status": {"conditions": [{"type": "Available",
     "status": "True"}]}}, ["n", "Local", "True", "3h"]),
]  # fmt: skip


def test_an_autoscaler_of_version_1_shows_what_that_of_version_2_does() -> None:
    def of(name: str, target: Object, current: Object) -> tuple[Object, Object]:
        wanted, found = {"name": name, "target": target}, {"name": name, "current": current}
        return {"type": "Resource", "resource": wanted}, {"type": "Resource", "resource": found}

    cpu = of("cpu", {"type": "Utilization", "averageUtilization": 80}, {"averageUtilization": 12, "averageValue": "9m"})
    memory = of("memory", {"type": "AverageValue", "averageValue": "1Gi"}, {"averageValue": "2Gi"})
    for metrics, shown in (
        ((cpu, memory), "cpu: 12%/80%, memory: 2Gi/1Gi"),
        ((memory, cpu), "memory: 2Gi/1Gi, cpu: 12%/80%"),
        ((memory,), "memory: 2Gi/1Gi"),
    ):
        old = to_v1({"apiVersion": "autoscaling/v1", "metadata": {}, **scaled(*metrics)})
        annotations = old["metadata"]["annotations"]
        assert row("autoscaling", "HorizontalPodAutoscaler", old, annotations=annotations)[2] == shown


@pytest.mark.parametrize(
    ("group", "kind", "obj", "expected"), ROWS, ids=[f"{n} {each[1]}" for n, each in enumerate(ROWS)]
)
def test_rows(group: str, kind: str, obj: Object, expected: list[Any]) -> None:
    assert row(group, kind, obj) == expected
    assert len(PRINTERS[group, kind].columns) == len(expected)


def test_roles_of_a_node() -> None:
    labels = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/": "", "kubernetes.io/role": "edge"}
    assert row("", "Node", NODE, labels=labels)[2] == "edge,worker"


def test_what_is_on_its_way_out() -> None:
    assert row("", "PersistentVolume", {"status": {"phase": "Bound"}}, deletionTimestamp=ago())[4] == "Terminating"
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert row("storage.k8s.io", "StorageClass", {}, annotations=default)[0] == "n (default)"


def test_flow_schemas_come_in_the_order_they_are_tried() -> None:
    resource = CATALOGUE.find("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
    assert resource is not None
    objects = [
        {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}
        for name, precedence in (("a", 900), ("b", 1), ("c", 900), ("d", 20))
    ]
    rows = Tables(ManualClock(NOW)).table(resource, objects, "v1", "Object")["rows"]
    assert [(row["cells"][0], row["object"]["metadata"]["name"]) for row in rows] == [(n, n) for n in "bdac"]


PLAIN = {"LimitRange", "Role", "ClusterRole", "CustomResourceDefinition"}


def test_every_kind_that_can_be_listed_has_its_columns() -> None:
    listed = {(resource.group, resource.kind) for resource in CATALOGUE if "list" in resource.verbs}
    assert {kind for group, kind in listed - PRINTERS.keys()} <= PLAIN


@pytest.mark.parametrize(("group", "kind"), PRINTERS, ids=[kind + group for group, kind in PRINTERS])
def test_an_object_with_nothing_but_a_name_is_printed(group: str, kind: str) -> None:
    cells = PRINTERS[group, kind].cells({"kind": kind, "metadata": {"name": "n"}}, NOW)
    assert len(cells) == len(PRINTERS[group, kind].columns) and "n" in cells
