"""Evictions: what a budget is charged, and what it says when it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.strategies.eviction import MAX_DISRUPTED, is_free, spent, targeted

Object = dict[str, Any]
NOW = datetime(2025, 6, 1, 12, 0, 0, tzinfo=UTC)
STAMP = "2025-06-01T12:00:00Z"


def budget(policy: str = "", **status: Any) -> Object:
    spec = {"unhealthyPodEvictionPolicy": policy} if policy else {}
    state = {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, **status}
    return {"metadata": {"name": "web", "namespace": "default", "generation": 1}, "spec": spec, "status": state}


def pod(ready: str) -> Object:
    return {"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def test_the_last_disruption_turns_the_condition() -> None:
    status = spent(budget(), "a", NOW)["status"]
    assert (status["disruptionsAllowed"], status["disruptedPods"]) == (0, {"a": STAMP})
    condition = status["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed",
        "False",
        "InsufficientPods",
    )


def test_more_are_left() -> None:
    status = spent(budget(disruptionsAllowed=3, disruptedPods={"b": STAMP}), "a", NOW)["status"]
    assert (status["disruptionsAllowed"], sorted(status["disruptedPods"])) == (2, ["a", "b"])
    assert "conditions" not in status


@pytest.mark.parametrize(
    ("status", "code", "told", "retry_after"),
    [
        ({"disruptionsAllowed": 0}, 429, "The disruption budget web needs 1 healthy pods and has 2 currently", None),
        ({"observedGeneration": 0}, 429, "The disruption budget web is still being processed by the server.", 10),
    ],
)
def test_refusals(status: Object, code: int, told: str, retry_after: int | None) -> None:
    with pytest.raises(ApiError) as caught:
        spent(budget(**status), "a", NOW)
    answer = caught.value.to_status()
    assert (answer["code"], answer["reason"]) == (code, "TooManyRequests")
    assert answer["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert answer["details"]["causes"] == [{"reason": "DisruptionBudget", "message": told}]
    assert answer["details"].get("retryAfterSeconds") == retry_after


@pytest.mark.parametrize(
    "status", [{"disruptionsAllowed": -1}, {"disruptedPods": dict.fromkeys(map(str, range(MAX_DISRUPTED + 1)), STAMP)}]
)
def test_an_unsound_status_forbids(status: Object) -> None:
    with pytest.raises(ApiError, match=r'poddisruptionbudget\.policy "web" is forbidden: ') as caught:
        spent(budget(**status), "a", NOW)
    assert caught.value.code == 403


@pytest.mark.parametrize(
    ("ready", "of", "free"),
    [
        ("True", budget("AlwaysAllow"), False),
        ("False", budget(), True),
        ("False", budget(currentHealthy=0), False),
        ("False", budget(currentHealthy=0, desiredHealthy=0), False),
        ("False", budget("IfHealthyBudget", currentHealthy=0), False),
        ("False", budget("AlwaysAllow", currentHealthy=0), True),
    ],
)
def test_pods_that_are_not_ready(ready: str, of: Object, free: bool) -> None:
    assert is_free(pod(ready), of) is free


def test_the_pod_says_why_it_goes() -> None:
    found = targeted(pod("True"), NOW)
    condition = found["status"]["conditions"][1]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "EvictionByEvictionAPI")
    assert targeted(found, NOW) is found
