"""Pods: annotations that mean something, operating systems, overhead, volumes of every kind, selectors' operators."""

from copy import deepcopy

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import PODS
from apimachinery.api.validation import validate_create, validate_status_update, validate_update

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/c"
_MIRROR = "kubernetes.io/config.mirror"


def _pod(annotations=None, container=None, volume=None, **spec):
    metadata = {"name": "p", "namespace": "default", "resourceVersion": "1", "annotations": annotations or {}}
    whole = {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec}
    if volume is not None:
        whole["volumes"] = [{"name": "v", **volume}]
    pod = {"metadata": metadata, "spec": deepcopy(whole)}
    defaults.apply(PODS, pod)
    return pod


def _texts(problems):
    return [str(problem) for problem in problems]


_TYPE = "apparmor type in annotation and field must match"


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod({"controller.kubernetes.io/pod-deletion-cost": "-5"}), []),
        (
            _pod({"controller.kubernetes.io/pod-deletion-cost": "+5"}),
            [
                'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+5": must be a '
                "32bit integer"
            ],
        ),
        (
            _pod({_MIRROR: "x"}),
            [
                f'metadata.annotations[{_MIRROR}]: Invalid value: "x": must set spec.nodeName if mirror pod '
                "annotation is set"
            ],
        ),
        (
            _pod({"container.apparmor.security.beta.kubernetes.io/other": "bad"}),
            [
                'metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "other": '
                "container not found",
                'metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "bad": '
                'invalid AppArmor profile name: "bad"',
            ],
        ),
        (
            _pod({_APPARMOR: "unconfined"}, securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}),
            [f"spec.containers[0].securityContext.appArmorProfile.type: Forbidden: {_TYPE}"],
        ),
        (
            _pod(
                {"seccomp.security.alpha.kubernetes.io/pod": "localhost/a"},
                securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "b"}},
            ),
            [
                "spec.securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and "
                "field must match"
            ],
        ),
        (
            _pod(overhead={"cpus": "1"}),
            [
                'spec.overhead.limits[cpus]: Invalid value: "cpus": must be a standard resource type or fully '
                "qualified",
                'spec.overhead.limits[cpus]: Invalid value: "cpus": must be a standard resource for containers',
            ],
        ),
        (
            _pod(os={"name": "windows"}, hostPID=True, container={"securityContext": {"privileged": False}}),
            [
                "spec.hostPID: Forbidden: cannot be set for a windows pod",
                "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
            ],
        ),
        (
            _pod(os={"name": "linux"}, securityContext={"windowsOptions": {"runAsUserName": "u"}}),
            [
                "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
            ],
        ),
        (
            _pod(os={"name": "plan9"}),
            ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"'],
        ),
        (_pod(volume={"rbd": {"monitors": []}}), ["monitors: Required value", "image: Required value"]),
        (_pod(volume={"flocker": {}}), [": Required value: one of datasetName and datasetUUID is required"]),
        (
            _pod(volume={"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed"}}),
            [
                'diskURI: Unsupported value: "x": supported values: "/subscriptions/{sub-id}/resourcegroups/'
                '{group-name}/providers/microsoft.compute/disks/{disk-id}"'
            ],
        ),
        (
            _pod(volume={"iscsi": {"targetPortal": "p", "iqn": "x", "lun": 0}}),
            ['iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa'],
        ),
        (_pod(volume={"gitRepo": {"directory": "/a"}}), ["repository: Required value", "must be a relative path"]),
        (
            _pod(volume={"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {}}}}),
            [
                "metadata.name: Forbidden: cannot be set",
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            _pod(volume={"projected": {"sources": [{"secret": {"name": "s"}, "configMap": {"name": "m"}}]}}),
            ["sources[0]: Forbidden: may not specify more than 1 volume type per source"],
        ),
        (
            _pod(volume={"emptyDir": {}, "hostPath": {"path": "/x"}}),
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_new_pod(pod, expected):
    found = _texts(validate_create(PODS, pod))
    assert len(found) == len(expected), found
    for text, part in zip(found, expected, strict=True):
        assert part in text


def test_annotations_that_stay():
    old = _pod({_MIRROR: "x", _APPARMOR: "unconfined"}, nodeName="n")
    assert validate_update(PODS, old, old) == []
    assert _texts(validate_update(PODS, _pod(nodeName="n"), old)) == [
        f"metadata.annotations[{_MIRROR}]: Forbidden: may not remove or update mirror pod annotation",
        f"metadata.annotations[{_APPARMOR}]: Forbidden: may not remove or update AppArmor annotations",
    ]
    assert _texts(validate_update(PODS, old, _pod(nodeName="n"))) == [
        f"metadata.annotations[{_MIRROR}]: Forbidden: may not add mirror pod annotation",
        f"metadata.annotations[{_APPARMOR}]: Forbidden: may not add AppArmor annotations",
    ]


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["a"], []),
        ("In", [], ["values: Required value: must be specified when `operator` is 'In' or 'NotIn'"]),
        (
            "Exists",
            ["a"],
            ["values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"],
        ),
        ("Gt", [], ["values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"]),
        ("Like", ["a"], ['operator: Invalid value: "Like": not a valid selector operator']),
    ],
)
def test_the_operators_of_nodes_and_of_labels(operator, values, expected):
    expression = {"key": "k", "operator": operator, "values": values}
    node = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}
    where = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms[0].matchExpressions[0]."
    assert _texts(validate_create(PODS, _pod(affinity=node))) == [where + text for text in expected]
    pods = {"podAffinity": {_REQUIRED: [{"topologyKey": "z", "labelSelector": {"matchExpressions": [expression]}}]}}
    where = f"spec.affinity.podAffinity.{_REQUIRED}[0].labelSelector.matchExpressions[0]."
    if operator == "Gt":
        expected = ['operator: Invalid value: "Gt": not a valid selector operator']
    assert _texts(validate_create(PODS, _pod(affinity=pods))) == [where + text for text in expected]


def test_a_node_may_be_asked_for_by_what_no_label_can_be():
    term = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["${GROUP}"]}]}
    nodes = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert _texts(validate_create(PODS, _pod(affinity={"nodeAffinity": nodes}))) == []


def test_a_status_changes_neither_mirror_annotation_nor_condition_names():
    old = _pod({_MIRROR: "x"}, nodeName="n")
    new = {**_pod(nodeName="n"), "status": {"conditions": [{"type": "Ready"}, {"type": "a b"}]}}
    found = _texts(validate_status_update(PODS, new, old))
    assert found[0] == f"metadata.annotations[{_MIRROR}]: Forbidden: may not remove or update mirror pod annotation"
    assert found[1].startswith('metadata.conditions[1].Type: Invalid value: "a b": name part must consist of')
    assert len(found) == 2
