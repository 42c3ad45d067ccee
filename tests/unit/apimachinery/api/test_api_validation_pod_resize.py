"""pods/resize: what may be asked for, and upstream's words for the rest."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import PODS
from apimachinery.api.validation import validate_create
from apimachinery.api.validation.pod_resize import pod_resize

Object = dict[str, Any]


def pod(requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    resources = {kind: found for kind, found in (("requests", requests), ("limits", limits)) if found is not None}
    container = {"name": "c", "image": "i", "resources": resources, **more}
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [container]},
        "status": {"qosClass": "Burstable"},
    }


OLD = pod({"cpu": "100m", "memory": "32Mi"}, {"cpu": "200m"})


def running(obj: Object, **status: Any) -> Object:
    told = {"qosClass": "Burstable", "containerStatuses": [{"name": "c", "state": {"running": {}}, **status}]}
    return {**obj, "status": told}


def test_other_amounts_are_taken() -> None:
    new = pod({"cpu": "300m", "memory": "64Mi"}, {"cpu": "400m", "memory": "64Mi"})
    assert pod_resize(new, OLD) == []
    assert pod_resize(running(new), running(OLD, resources={})) == []


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (pod({"cpu": "100m"}, {"cpu": "200m"}), OLD,
         "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"),
        (pod({"cpu": "100m", "memory": "32Mi"}, {}), OLD,
         "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"),
        (pod({"cpu": "200m", "memory": "32Mi"}, {"cpu": "200m", "memory": "32Mi"}), OLD,
         'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'),
        (pod({"cpu": "100m", "memory": "32Mi", "ephemeral-storage": "1Gi"}, {"cpu": "200m"}), OLD,
         "spec: Forbidden: only cpu and memory resources are mutable"),
        (running(OLD), running(OLD), "spec: Forbidden: Pod running on node without support for resize"),
    ],
    ids=["a request removed", "a limit removed", "another class", "another resource", "an old node agent"],
)  # fmt: skip
def test_refusals(new: Object, old: Object, told: str) -> None:
    before = deepcopy((new, old))
    assert [str(problem) for problem in pod_resize(new, old)] == [told]
    assert (new, old) == before


def test_static_and_windows_pods() -> None:
    mirror = {**OLD, "metadata": {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}}
    assert [str(each) for each in pod_resize(OLD, mirror)] == ["<nil>: Forbidden: static pods cannot be resized"]
    windows = {**OLD, "spec": {**OLD["spec"], "os": {"name": "windows"}}}
    assert [str(each) for each in pod_resize(OLD, windows)] == ["<nil>: Forbidden: windows pods cannot be resized"]


def asking(policies: list[Object], kind: str = "containers", **spec: Any) -> Object:
    """A pod one of whose containers has these policies."""
    containers: Object = {"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "d", "image": "i"}]}
    containers[kind][0]["resizePolicy"] = policies
    obj: Object = {"metadata": {"name": "p", "namespace": "default"}, "spec": {**containers, **spec}}
    defaults.apply(PODS, obj)
    return obj


_CPU = {"resourceName": "cpu", "restartPolicy": "RestartContainer"}
_WHERE = "spec.containers[0].resizePolicy"


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (asking([_CPU, {"resourceName": "memory", "restartPolicy": "NotRequired"}]), []),
        (asking([_CPU, _CPU]), [f'{_WHERE}[1]: Duplicate value: "cpu"']),
        (
            asking([{"resourceName": "storage"}]),
            [
                f'{_WHERE}: Unsupported value: "storage": supported values: "cpu", "memory"',
                f"{_WHERE}: Required value",
            ],
        ),
        (
            asking([{"resourceName": "cpu", "restartPolicy": "Never"}]),
            [f'{_WHERE}: Unsupported value: "Never": supported values: "NotRequired", "RestartContainer"'],
        ),
        (
            asking([_CPU], restartPolicy="Never"),
            [f"{_WHERE}: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'"],
        ),
        (
            asking([_CPU], "initContainers"),
            [
                "spec.initContainers[0].resizePolicy: Invalid value: []core.ContainerResizePolicy{"
                'core.ContainerResizePolicy{ResourceName:"cpu", RestartPolicy:"RestartContainer"}}: '
                "must not be set for init containers"
            ],
        ),
    ],
)
def test_what_a_resize_restarts(obj: Object, told: list[str]) -> None:
    assert [str(problem) for problem in validate_create(PODS, obj)] == told
