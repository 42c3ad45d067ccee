"""What a pod as a whole asks for (KEP-2837): sums, quality of service, defaults, upstream's refusals, quotas."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import PODS
from apimachinery.api.quota import amounts, scopes
from apimachinery.api.quota.evaluators import evaluator
from apimachinery.api.validation import validate_create
from apimachinery.meta.pod_resources import pod_requests, qos_class

Object = dict[str, Any]
BOTH = {"cpu": "1", "memory": "1Gi"}
GI = 1 << 30


def asks(requests: Object | None = None, limits: Object | None = None) -> Object:
    return {kind: found for kind, found in (("requests", requests), ("limits", limits)) if found is not None}


def pod(own: Object | None, *containers: Object, **spec: Any) -> Object:
    filled = [{"name": f"c{position}", "image": "i", "resources": each} for position, each in enumerate(containers)]
    whole = {"containers": filled or [{"name": "c", "image": "i"}], **spec}
    if own is not None:
        whole["resources"] = own
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": deepcopy(whole)}


def defaulted(obj: Object) -> Object:
    defaults.apply(PODS, obj)
    return obj


def test_the_pods_own_requests_take_the_place_of_its_containers() -> None:
    obj = pod(asks({"cpu": "2"}, {"memory": "4Gi"}), asks({"cpu": "1", "memory": "1Gi", "example.com/a": "1"}))
    assert pod_requests(obj) == {"cpu": 2000, "memory": GI, "example.com/a": 1}
    assert pod_requests(obj, section="limits") == {"memory": 4 * GI}
    obj["spec"]["overhead"] = {"cpu": "100m"}
    assert pod_requests(obj)["cpu"] == 2100


def test_what_nobody_asks_for_is_assumed_and_nothing_else() -> None:
    assumed = {"cpu": 100, "memory": 200}
    obj = pod(asks({"cpu": "2"}), asks({"memory": "1k"}), asks())
    assert pod_requests(obj, default=assumed) == {"cpu": 2000, "memory": 1000}
    assert pod_requests(pod(asks({"cpu": "2"}), asks(), asks()), default=assumed) == {"cpu": 2000, "memory": 400}
    assert pod_requests(pod(None, asks({"memory": "1k"}), asks()), default=assumed) == {"cpu": 200, "memory": 1200}


@pytest.mark.parametrize(
    ("own", "container", "quality"),
    [
        (asks(BOTH, BOTH), asks(), "Guaranteed"),
        (asks(None, BOTH), asks({"cpu": "100m"}), "Guaranteed"),
        (asks(BOTH, {"cpu": "2", "memory": "1Gi"}), asks(BOTH, BOTH), "Burstable"),
        (asks({"cpu": "1"}, {"cpu": "1"}), asks(BOTH, BOTH), "Burstable"),
        ({}, asks(BOTH, BOTH), "BestEffort"),
        (None, asks(BOTH, BOTH), "Guaranteed"),
    ],
)
def test_quality_of_service_is_the_pods_own(own: Object | None, container: Object, quality: str) -> None:
    assert qos_class(pod(own, container)) == quality
    assert scopes.matches_pod({"scopeName": "BestEffort", "operator": "Exists"}, pod(own, container)) == (
        quality == "BestEffort"
    )


@pytest.mark.parametrize(
    ("own", "containers", "requests"),
    [
        (asks(None, BOTH), [asks()], BOTH),
        (asks(None, BOTH), [asks({"cpu": "100m"}), asks({"cpu": "200m"})], {"cpu": "300m", "memory": "1Gi"}),
        (asks(None, BOTH), [asks(None, {"memory": "64Mi"})], {"cpu": "1", "memory": "64Mi"}),
        (asks({"cpu": "500m"}, BOTH), [asks({"cpu": "100m"})], {"cpu": "500m", "memory": "1Gi"}),
        (asks({"cpu": "500m"}), [asks({"memory": "1Gi"})], {"cpu": "500m"}),
    ],
)
def test_defaults(own: Object, containers: list[Object], requests: Object) -> None:
    assert defaulted(pod(own, *containers))["spec"]["resources"]["requests"] == requests


@pytest.mark.parametrize(
    ("own", "container", "problems"),
    [
        (asks(BOTH, BOTH), asks({"cpu": "100m"}, {"cpu": "1"}), []),
        (
            asks({"cpu": "1"}),
            asks({"cpu": "1500m"}),
            [
                'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate '
                "container requests of 1500m"
            ],
        ),
        (
            asks({"cpu": "1"}, {"cpu": "2"}),
            asks({"cpu": "1"}, {"cpu": "3"}),
            [
                'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod '
                "limits of 2"
            ],
        ),
        (
            asks({"cpu": "2"}, {"cpu": "1"}),
            asks(),
            ['spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            asks({"ephemeral-storage": "1Gi"}),
            asks(),
            [
                'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: '
                '"cpu", "memory"'
            ],
        ),
        (
            asks({"cpu": "1"}),
            asks({"ephemeral-storage": "1Gi"}),
            [
                'spec.resources.requests[ephemeral-storage]: Invalid value: "0": must be greater than or equal to '
                "aggregate container requests of 1Gi"
            ],
        ),
        (
            {"claims": []},
            asks(),
            ["spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level"],
        ),
    ],
)
def test_refusals(own: Object, container: Object, problems: list[str]) -> None:
    assert [str(problem) for problem in validate_create(PODS, defaulted(pod(own, container)))] == problems


def test_quotas_count_what_the_pod_asks_for() -> None:
    found = evaluator("", "pods")
    used = amounts.pod_amounts(pod(asks({"cpu": "2"}), asks({"cpu": "1", "memory": "1Gi"})), "requests", overhead=True)
    assert amounts.spelled(used) == {"cpu": "2", "memory": "1Gi"}
    assert found.missing(["requests.cpu"], pod(asks({"memory": "1Gi"}), asks())) == ""
    assert found.missing(["requests.cpu"], pod(None, asks())) == "must specify requests.cpu for: c0"
