"""Autoscalers in both versions: nothing is lost on the way to version 1 and back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.registry.autoscalers import to_v1, to_v2

_META = {"name": "a", "annotations": {"mine": "1"}}
_KEY = "autoscaling.alpha.kubernetes.io/"


def _v2(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "autoscaling/v2", "metadata": dict(_META), "spec": {"maxReplicas": 2, **spec}}


def _resource(name: str, **target: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


_CPU = _resource("cpu", type="Utilization", averageUtilization=50)
_METRICS = {
    "memory": _resource("memory", type="AverageValue", averageValue="1Gi"),
    "pods": {
        "type": "Pods",
        "pods": {
            "metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "5"},
        },
    },
    "object": {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "i"},
            "metric": {"name": "rps"},
            "target": {"type": "Value", "value": "5"},
        },
    },
    "external": {
        "type": "External",
        "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "3"}},
    },
    "containerResource": {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 70},
        },
    },
}
_BEHAVIOR = {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}}


@pytest.mark.parametrize(
    ("metric", "flat"),
    [
        ("memory", {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}),
        (
            "pods",
            {
                "type": "Pods",
                "pods": {
                    "metricName": "rps",
                    "targetAverageValue": "5",
                    "selector": {"matchLabels": {"a": "b"}},
                },
            },
        ),
        (
            "object",
            {
                "type": "Object",
                "object": {"target": {"kind": "Ingress", "name": "i"}, "metricName": "rps", "targetValue": "5"},
            },
        ),
        ("external", {"type": "External", "external": {"metricName": "q", "targetAverageValue": "3"}}),
        (
            "containerResource",
            {
                "type": "ContainerResource",
                "containerResource": {"name": "cpu", "targetAverageUtilization": 70, "container": "c"},
            },
        ),
    ],
)
def test_metrics_in_the_annotation_have_the_first_versions_form(metric: str, flat: dict[str, Any]) -> None:
    old = to_v1(_v2(metrics=[_METRICS[metric]]))
    assert orjson.loads(old["metadata"]["annotations"][_KEY + "metrics"]) == [flat]
    assert to_v2(old)["spec"]["metrics"] == [_METRICS[metric]]


def test_cpu_and_behaviour() -> None:
    old = to_v1(_v2(metrics=[_CPU], behavior=_BEHAVIOR))
    assert old["spec"] == {"maxReplicas": 2, "targetCPUUtilizationPercentage": 50}
    assert orjson.loads(old["metadata"]["annotations"][_KEY + "behavior"]) == {
        "ScaleDown": {"SelectPolicy": "Max", "Policies": [{"Type": "Pods", "Value": 1, "PeriodSeconds": 15}]}
    }
    again = to_v2(old)
    assert again["spec"] == {"maxReplicas": 2, "metrics": [_CPU], "behavior": _BEHAVIOR}
    assert again["metadata"]["annotations"] == {"mine": "1"}


def test_a_first_version_that_says_nothing_scales_by_cpu() -> None:
    assert to_v2(_v2())["spec"]["metrics"] == [_resource("cpu", type="Utilization", averageUtilization=80)]


def test_a_status() -> None:
    condition = {"type": "AbleToScale", "status": "True"}
    current = {
        "type": "Resource",
        "resource": {"name": "cpu", "current": {"averageUtilization": 9, "averageValue": "1"}},
    }
    status = {"desiredReplicas": 1, "currentReplicas": 1, "currentMetrics": [current], "conditions": [condition]}
    old = to_v1({**_v2(metrics=[_CPU]), "status": status})
    assert old["status"] == {"currentReplicas": 1, "desiredReplicas": 1, "currentCPUUtilizationPercentage": 9}
    assert to_v2(old)["status"] == status


@pytest.mark.parametrize("text", ["", "null", "{", "7", '"x"', "[1, null]", "{}"])
def test_annotations_that_are_something_else(text: str) -> None:
    annotations = {_KEY + word: text for word in ("metrics", "behavior", "conditions", "current-metrics")}
    made = to_v2({**_v2(targetCPUUtilizationPercentage=50), "metadata": {"name": "a", "annotations": annotations}})
    assert made["spec"] == {"maxReplicas": 2, "metrics": [_CPU]}
    assert made["metadata"] == {"name": "a"}


@given(st.lists(st.sampled_from(sorted(_METRICS)), max_size=4), st.booleans())
def test_there_and_back(words: list[str], with_cpu: bool) -> None:
    metrics = [_METRICS[word] for word in words] + ([_CPU] if with_cpu else [])
    if metrics:
        assert to_v2(to_v1(_v2(metrics=metrics)))["spec"]["metrics"] == metrics
