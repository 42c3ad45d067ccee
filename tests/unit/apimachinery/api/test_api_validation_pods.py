"""Semantic validation of pods and workloads: upstream's refusals, word for word."""

from copy import deepcopy

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import DAEMONSETS, DEPLOYMENTS, PODS, REPLICASETS, STATEFULSETS
from apimachinery.api.validation import (
    validate_create,
    validate_ephemeral_containers_update,
    validate_status_update,
    validate_update,
)

_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)

_NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def _texts(problems):
    return [str(problem) for problem in problems]


def _pod(spec=None, **container):
    body = {
        "metadata": {"name": "p", "namespace": "default", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "c", "image": "busybox", **container}], **(spec or {})},
    }
    defaults.apply(PODS, body)
    return body


def _workload(resource, **spec):
    body = {
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": "1"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "nginx"}]},
            },
            **spec,
        },
    }
    defaults.apply(resource, body)
    return body


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(), []),
        (_pod({"containers": []}), ["spec.containers: Required value"]),
        (_pod(name="A"), [f'spec.containers[0].name: Invalid value: "A": {_LABEL}']),
        (_pod(image=""), ["spec.containers[0].image: Required value"]),
        (
            _pod(image=" x"),
            ['spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace'],
        ),
        (
            _pod({"restartPolicy": "Bogus"}),
            ['spec.restartPolicy: Unsupported value: "Bogus": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            _pod({"dnsPolicy": "None"}),
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            _pod(imagePullPolicy="Sometimes"),
            [
                'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", '
                '"IfNotPresent", "Never"'
            ],
        ),
        (
            _pod({"containers": [{"name": "c", "image": "x"}, {"name": "c", "image": "x"}]}),
            ['spec.containers[1].name: Duplicate value: "c"'],
        ),
        (_pod(ports=[{"containerPort": 0}]), ["spec.containers[0].ports[0].containerPort: Required value"]),
        (
            _pod(ports=[{"containerPort": 70000}]),
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            _pod(ports=[{"containerPort": 80, "protocol": "ICMP"}]),
            ['spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            _pod(ports=[{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
            ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//5"'],
        ),
        (_pod(env=[{"name": ""}]), ["spec.containers[0].env[0].name: Required value"]),
        (
            _pod(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            _pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": error converting '
                "fieldPath: field label not supported: spec.foo"
            ],
        ),
        (_pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.host"}}}]), []),
        (
            _pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported '
                'values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", '
                '"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
            ],
        ),
        (
            _pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name": error '
                "converting fieldPath: unsupported pod version: v2"
            ],
        ),
        (
            _pod(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name['a']"}}}]),
            [
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": error "
                "converting fieldPath: field label does not support subscript: metadata.name['a']"
            ],
        ),
        (
            _pod(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            _pod({"volumes": [{"name": "v", "hostPath": {"path": ""}}]}),
            ["spec.volumes[0].hostPath.path: Required value"],
        ),
        (
            _pod({"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]}),
            ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            _pod({"volumes": [{"name": "v", "emptyDir": {}, "downwardAPI": {}}]}),
            ["spec.volumes[0].downwarAPI: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            _pod({"volumes": [{"name": "v"}, {"name": "v"}]}),
            ['spec.volumes[1].name: Duplicate value: "v"'],
        ),
        (
            _pod(livenessProbe={}),
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            _pod(livenessProbe={"tcpSocket": {"port": 80}, "successThreshold": 2}),
            ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            _pod(readinessProbe={"exec": {"command": ["x"]}, "periodSeconds": -1}),
            ["spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            _pod(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            _pod(resources={"requests": {"cpu": "-1"}}),
            ['spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            _pod(resources={"requests": {"example.com/gpu": "1"}}),
            ["spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"],
        ),
        (
            _pod(resources={"limits": {"gpus": "1"}}),
            [
                f'spec.containers[0].resources.{kind}[gpus]: Invalid value: "gpus": {text}'
                for kind in ("limits", "requests")
                for text in (
                    "must be a standard resource type or fully qualified",
                    "must be a standard resource for containers",
                )
            ],
        ),
        (
            _pod(resources={"limits": {"g pus": "1"}}),
            [
                f'spec.containers[0].resources.{kind}[g pus]: Invalid value: "g pus": {text}'
                for kind in ("limits", "requests")
                for text in (_NAME_PART, "must be a standard resource for containers")
            ],
        ),
        (
            _pod(securityContext={"runAsUser": -1}),
            [
                "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, "
                "inclusive"
            ],
        ),
        (
            _pod({"tolerations": [{"key": "a", "operator": "Near"}]}),
            ['spec.tolerations[0].operator: Unsupported value: "Near": supported values: "Equal", "Exists"'],
        ),
        (
            _pod({"tolerations": [{"operator": "Equal"}]}),
            [
                'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, '
                'which means "match all values and all keys"'
            ],
        ),
        (
            _pod({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}),
            [
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
                "Required value: must have at least one node selector term"
            ],
        ),
        (
            _pod({"activeDeadlineSeconds": 0}),
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            _pod({"initContainers": [{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["x"]}}}]}),
            [
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
                "restartPolicy=Always"
            ],
        ),
        (
            _pod({"ephemeralContainers": [{"name": "e", "image": "x"}]}),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            _pod({"nodeName": "n", "schedulingGates": [{"name": "g"}]}),
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
    ],
    ids=lambda value: " | ".join(value)[:70] if isinstance(value, list) else "",
)
def test_a_new_pod(pod, expected):
    assert _texts(validate_create(PODS, pod)) == expected


_FROZEN = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda spec: spec["containers"][0].update(image="other"), None),
        (lambda spec: spec.update(activeDeadlineSeconds=10), None),
        (lambda spec: spec.update(tolerations=[{"key": "a", "operator": "Exists"}]), None),
        (lambda spec: spec.update(hostNetwork=False), None),
        (lambda spec: spec["containers"][0].update(args=[]), None),
        (lambda spec: spec["containers"][0].update(command=["x"]), _FROZEN),
        (lambda spec: spec.update(nodeName="n"), _FROZEN),
        (lambda spec: spec.update(terminationGracePeriodSeconds=1), _FROZEN),
        (
            lambda spec: spec["containers"].append({**spec["containers"][0], "name": "d"}),
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ),
        (
            lambda spec: spec.update(schedulingGates=[{"name": "g"}]),
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
        ),
    ],
)
def test_an_update_of_a_pod(change, expected):
    old = _pod()
    new = deepcopy(old)
    change(new["spec"])
    found = _texts(validate_update(PODS, new, old))
    assert (found == []) if expected is None else (len(found) == 1 and found[0].startswith(expected))


def test_a_later_deadline_is_all_that_is_told():
    old = _pod({"activeDeadlineSeconds": 10})
    new = deepcopy(old)
    new["spec"].update(activeDeadlineSeconds=20, nodeName="n")
    assert _texts(validate_update(PODS, new, old)) == [
        "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"
    ]


def test_the_refusal_names_what_changed():
    old = _pod()
    new = deepcopy(old)
    new["spec"]["containers"][0]["command"] = ["x"]
    assert "containers[0].command" in _texts(validate_update(PODS, new, old))[0]


def test_a_toleration_may_not_go():
    old = _pod({"tolerations": [{"key": "a", "operator": "Exists"}]})
    assert _texts(validate_update(PODS, _pod(), old)) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_a_finished_container_does_not_run_again():
    old, new = _pod({"restartPolicy": "Never"}), _pod({"restartPolicy": "Never"})
    old["status"] = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}
    new["status"] = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    assert _texts(validate_status_update(PODS, new, old)) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]
    old["spec"]["restartPolicy"] = "Always"
    assert validate_status_update(PODS, new, old) == []


def test_pod_addresses():
    new = _pod()
    new["status"] = {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "hostIP": "1.2.3.4", "hostIPs": [{"ip": "x"}]}
    texts = _texts(validate_status_update(PODS, new, _pod()))
    assert any("may specify no more than one IP for each IP family" in text for text in texts)
    assert any("must be equal to `hostIP`" in text for text in texts)


def test_existing_ephemeral_containers_stay():
    old = _pod({"ephemeralContainers": [{"name": "e", "image": "x"}]})
    assert _texts(validate_ephemeral_containers_update(_pod(), old)) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed\n'
    ]
    assert validate_ephemeral_containers_update(old, _pod()) == []


@pytest.mark.parametrize(
    ("resource", "spec", "expected"),
    [
        (DEPLOYMENTS, {}, []),
        (REPLICASETS, {}, []),
        (DAEMONSETS, {}, []),
        (STATEFULSETS, {"serviceName": "s"}, []),
        (DEPLOYMENTS, {"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            DEPLOYMENTS,
            {"selector": None},
            [
                "spec.selector: Required value",
                'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: `selector` does not '
                "match template `labels`",
            ],
        ),
        (
            DEPLOYMENTS,
            {"selector": {}},
            [
                "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
                "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for deployment"
            ],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"type": "Rolling"}},
            [
                'spec.strategy: Unsupported value: apps.DeploymentStrategy{Type:"Rolling", '
                'RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}: supported values: "Recreate", "RollingUpdate"'
            ],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}},
            [
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, "
                'StrVal:""}: may not be 0 when `maxSurge` is 0'
            ],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"rollingUpdate": {"maxUnavailable": "110%"}}},
            [
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, "
                'StrVal:"110%"}: must not be greater than 100%'
            ],
        ),
        (
            DEPLOYMENTS,
            {"minReadySeconds": 600},
            ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        ),
        (
            DAEMONSETS,
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
            ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
        ),
        (
            STATEFULSETS,
            {"podManagementPolicy": "Wild"},
            ["spec.podManagementPolicy: Invalid value: \"Wild\": must be 'OrderedReady' or 'Parallel'"],
        ),
    ],
    ids=lambda value: " | ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_new_workload(resource, spec, expected):
    assert _texts(validate_create(resource, _workload(resource, **spec))) == expected


def test_claims_count_as_volumes_of_a_stateful_set():
    body = _workload(STATEFULSETS, volumeClaimTemplates=[{"metadata": {"name": "data"}}])
    body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    assert validate_create(STATEFULSETS, body) == []


@pytest.mark.parametrize("resource", [DEPLOYMENTS, REPLICASETS, DAEMONSETS], ids=str)
def test_a_selector_is_fixed(resource):
    old = _workload(resource)
    new = _workload(resource, selector={"matchLabels": {"app": "web", "v": "1"}})
    new["spec"]["template"]["metadata"]["labels"] = {"app": "web", "v": "1"}
    assert _texts(validate_update(resource, new, old)) == [
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"web", "v":"1"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    ]


def test_most_of_a_stateful_set_is_fixed():
    old = _workload(STATEFULSETS, serviceName="a")
    assert validate_update(STATEFULSETS, _workload(STATEFULSETS, serviceName="a", replicas=5), old) == []
    found = _texts(validate_update(STATEFULSETS, _workload(STATEFULSETS, serviceName="b"), old))
    assert found[0].startswith("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'")


def test_counts_of_a_status():
    old, new = _workload(DEPLOYMENTS), _workload(DEPLOYMENTS)
    old["status"] = {"collisionCount": 2}
    new["status"] = {"replicas": 1, "readyReplicas": 2, "availableReplicas": -1, "collisionCount": 1}
    assert _texts(validate_status_update(DEPLOYMENTS, new, old)) == [
        "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.collisionCount: Invalid value: 1: cannot be decremented",
    ]
