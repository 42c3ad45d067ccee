"""PodDisruptionBudgets: what they allow (pkg/controller/disruption/disruption_test.go has the same cases)."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.controllers.disruption_plan import (
    compute_expected,
    concerns_budgets,
    count_healthy,
    needs_scale,
    plan_disrupted,
    plan_failure,
    plan_status,
    stale_target_in,
)
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, ago, pod

Object = dict[str, Any]


def budget(status: Object | None = None, **spec: Any) -> Object:
    meta = {"name": "pdb", "namespace": "default", "uid": "u", "generation": 2}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}, "status": status or {}}


def ready(*names: str) -> list[Object]:
    return [pod(name, ready=True) for name in names]


@pytest.mark.parametrize(
    ("spec", "matching", "scale", "expected"),
    [
        ({"minAvailable": 2}, 5, 0, (5, 2)),
        ({"minAvailable": 0}, 5, 0, (5, 0)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"minAvailable": "28%"}, 1, 10, (10, 3)),
        ({"minAvailable": "100%"}, 1, 4, (4, 4)),
        ({"maxUnavailable": 1}, 1, 5, (5, 4)),
        ({"maxUnavailable": 9}, 1, 5, (5, 0)),
        ({"maxUnavailable": "30%"}, 1, 5, (5, 3)),
        ({"maxUnavailable": "0%"}, 1, 5, (5, 5)),
        ({}, 3, 3, (0, 0)),
    ],
)
def test_expected_and_desired(spec: Object, matching: int, scale: int, expected: tuple[int, int]) -> None:
    assert compute_expected(budget(**spec), matching, scale) == expected
    assert needs_scale(budget(**spec)) == ("maxUnavailable" in spec or isinstance(spec.get("minAvailable"), str))


def test_a_text_that_is_no_percentage_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        compute_expected(budget(maxUnavailable="many"), 3, 3)


def test_status_of_a_healthy_application() -> None:
    status, _ = plan_status(budget(minAvailable=2), ready("a", "b", "c"), 0, NOW)
    assert status == {
        "currentHealthy": 3,
        "desiredHealthy": 2,
        "expectedPods": 3,
        "disruptionsAllowed": 1,
        "observedGeneration": 2,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": "True",
                "reason": "SufficientPods",
                "message": "",
                "lastTransitionTime": ago(0),
                "observedGeneration": 2,
            }
        ],
    }
    assert plan_status(budget(status, minAvailable=2), ready("a", "b", "c"), 0, NOW)[0] is None


def test_no_pods_allow_nothing() -> None:
    status, _ = plan_status(budget(minAvailable=0), [], 0, NOW)
    assert status is not None
    assert (status["disruptionsAllowed"], status["conditions"][0]["reason"]) == (0, "InsufficientPods")


def test_too_few_healthy_pods() -> None:
    status, _ = plan_status(budget(minAvailable=3), [*ready("a", "b"), pod("c")], 0, NOW)
    assert status is not None
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (2, 0)
    assert status["conditions"][0]["status"] == "False"


def test_deleted_and_disrupted_pods_are_not_healthy() -> None:
    gone = pod("b", ready=True, deleting=True)
    assert count_healthy([*ready("a", "c"), gone], {"c": ago(1)}) == 1


def test_approved_evictions() -> None:
    """Deleted: forgotten. Recent: kept. Older than two minutes: told about, and forgotten."""
    approved = {"kept": ago(30), "late": ago(121), "deleted": ago(5), "unknown": ago(5)}
    here = [*ready("kept", "late", "other"), pod("deleted", deleting=True)]
    found = plan_disrupted(budget({"disruptedPods": approved}), here, NOW)
    assert found.pods == {"kept": ago(30)}
    assert [each["metadata"]["name"] for each in found.overdue] == ["late"]
    assert found.recheck == 90


def test_the_condition_keeps_its_time_while_its_status_stays() -> None:
    first, _ = plan_status(budget(minAvailable=1), ready("a", "b"), 0, NOW)
    assert first is not None
    old = {**first, "conditions": [{**first["conditions"][0], "lastTransitionTime": ago(500)}]}
    again, _ = plan_status(budget(old, minAvailable=1), ready("a", "b", "c"), 0, NOW)
    assert again is not None
    assert (again["disruptionsAllowed"], again["conditions"][0]["lastTransitionTime"]) == (2, ago(500))
    none, _ = plan_status(budget(old, minAvailable=1), ready("a"), 0, NOW)
    assert none is not None
    assert none["conditions"][0]["lastTransitionTime"] == ago(0)


def test_a_failure_allows_nothing_and_says_why() -> None:
    status = plan_failure(budget({"disruptionsAllowed": 3, "currentHealthy": 4}), "found no controllers", NOW)
    assert status is not None
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 4)
    condition = status["conditions"][0]
    told = (condition["status"], condition["reason"], condition["message"])
    assert told == ("False", "SyncFailed", "found no controllers")
    assert plan_failure(budget(status), "found no controllers", NOW) is None


def target(seconds: float, reason: str = "EvictionByEvictionAPI", status: str = "True", **of: Any) -> Object:
    found = pod("a", **of)
    condition = {"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": ago(seconds)}
    found["status"]["conditions"].append(condition)
    return found


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (pod("a"), None),
        (target(20), 100.0),
        (target(120), 0.0),
        (target(999), 0.0),
        (target(999, status="False"), None),
        (target(999, "TerminationByKubelet"), None),
        (target(999, deleting=True), None),
        (target(999, phase="Failed"), None),
    ],
)
def test_stale_targets(of: Object, expected: float | None) -> None:
    assert stale_target_in(of, NOW) == expected


def test_only_what_counts_wakes_a_budget() -> None:
    assert concerns_budgets(pod("a"), pod("a", ready=True))
    assert concerns_budgets(pod("a"), pod("a", deleting=True))
    assert concerns_budgets(pod("a"), pod("a", labels={"app": "db"}))
    assert not concerns_budgets(pod("a", ready=True), pod("a", ready=True, ip="10.0.0.9", restarts=2))
