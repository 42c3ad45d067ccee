"""The arithmetic of Deployments: fenceposts, steps, proportional scaling, and the bounds of every rolling update."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.controllers import deployment_plan as plan
from controlplane.controllers.deployment_status import compute_status, is_complete, with_progress
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, ago, deployment, replica_set

Object = dict[str, Any]


def rolling(surge: int | str, unavailable: int | str) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(3, "25%", "25%", (1, 0), id="surge rounds up, unavailable down"),
        pytest.param(10, "25%", "25%", (3, 2), id="ten"),
        pytest.param(10, 0, "0%", (0, 1), id="not both zero"),
        pytest.param(4, "100%", "50%", (4, 2), id="whole"),
        pytest.param(0, "25%", "25%", (0, 1), id="none wanted"),
    ],
)
def test_fenceposts(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    assert plan.resolve_fenceposts(deployment(replicas, strategy=rolling(surge, unavailable))) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param((0, 0), (3, 3), {"new": 1}, id="begin with the surge"),
        pytest.param((1, 0), (3, 3), {}, id="wait for the new pod"),
        pytest.param((1, 1), (3, 3), {"old": 2}, id="then one old may go"),
        pytest.param((1, 1), (2, 2), {"new": 2}, id="and the next comes"),
        pytest.param((3, 3), (1, 1), {"old": 0}, id="the last old one"),
        pytest.param((1, 1), (3, 1), {"old": 2}, id="broken old pods go at once, within the budget"),
        pytest.param((1, 0), (3, 1), {}, id="but not while the new pod is missing"),
        pytest.param((5, 5), (0, 0), {"new": 3}, id="too many new ones"),
    ],
)
def test_rolling_step(new: tuple[int, int], old: tuple[int, int], expected: dict[str, int]) -> None:
    """Three replicas, surge 1, none unavailable (25 % of 3)."""
    target = deployment(3, image="v2", strategy=rolling(1, 0))
    new_set = replica_set("new", new[0], image="v2", available=new[1], age=1)
    old_set = replica_set("old", old[0], available=old[1])
    steps = plan.plan_rolling(target, new_set, [old_set])
    assert {step.replica_set["metadata"]["name"]: step.to for step in steps} == expected


def test_new_set_is_found_by_template_whatever_its_hash() -> None:
    sets = [replica_set("a", 1), replica_set("b", 0, image="v2")]
    found = plan.find_new(deployment(image="v2"), sets)
    assert found is not None and found["metadata"]["name"] == "b"


def test_rollback_takes_the_old_set_again_and_a_new_revision() -> None:
    """`kubectl rollout undo` writes the old template; the set that has it becomes the newest revision."""
    sets = [replica_set("a", 0, revision=1), replica_set("b", 3, image="v2", revision=2)]
    target = deployment(image="nginx")
    new, old = plan.split(target, sets)
    assert new is not None and new["metadata"]["name"] == "a"
    annotations = plan.new_annotations(target, new["metadata"]["annotations"], plan.next_revision(old))
    assert annotations[plan.REVISION] == "3"
    assert annotations[plan.REVISION_HISTORY] == "1"


def test_rendered_set_carries_hash_in_name_selector_and_pods() -> None:
    target = deployment(image="v2")
    target["metadata"]["annotations"] = {
        "kubernetes.io/change-cause": "upgrade",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    rendered = plan.render_replica_set(target, [replica_set("a", 3, revision=4)], 1)
    value = rendered["spec"]["selector"]["matchLabels"]["pod-template-hash"]
    assert rendered["metadata"]["name"] == f"web-{value}"
    assert rendered["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": value}
    assert rendered["metadata"]["annotations"] == {
        "kubernetes.io/change-cause": "upgrade",
        plan.REVISION: "5",
        plan.DESIRED: "3",
        plan.MAXIMUM: "4",
    }
    assert plan.find_new(target, [rendered]) is rendered
    assert "pod-template-hash" not in target["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("replicas", "sizes", "expected"),
    [
        pytest.param(10, {"new": 5, "old": 5}, None, id="unchanged"),
        pytest.param(20, {"new": 5, "old": 5}, {"new": 10, "old": 10}, id="doubled evenly"),
        pytest.param(5, {"new": 5, "old": 5}, {"new": 3, "old": 2}, id="halved, the leftover goes from the older"),
        pytest.param(0, {"new": 5, "old": 5}, {"new": 0, "old": 0}, id="to zero"),
        pytest.param(15, {"new": 2, "old": 8}, {"new": 3, "old": 12}, id="proportional"),
    ],
)
def test_proportional_scaling(replicas: int, sizes: dict[str, int], expected: dict[str, int] | None) -> None:
    target = deployment(replicas, image="v2", strategy=rolling(0, 1))
    new = replica_set("new", sizes["new"], image="v2", available=0, desired=10, maximum=10, age=10)
    old = replica_set("old", sizes["old"], desired=10, maximum=10, age=1000)
    assert plan.is_scaling_event(target, [new, old]) == (expected is not None)
    if expected is not None:
        steps = plan.plan_proportional(target, new, [old])
        assert {step.replica_set["metadata"]["name"]: step.to for step in steps} == expected


def test_a_set_that_was_sized_for_more_is_not_saturated() -> None:
    """Half rolled out, and halved: the old pods are not all taken because the new ones happen to be enough."""
    target = deployment(5, image="v2", strategy=rolling(0, 1))
    new = replica_set("new", 5, image="v2", desired=10, maximum=10, age=10)
    old = replica_set("old", 5, desired=10, maximum=10, age=1000)
    assert {step.replica_set["metadata"]["name"]: step.to for step in plan.plan_proportional(target, new, [old])} == {
        "new": 3, "old": 2,
    }  # fmt: skip
    new["metadata"]["annotations"][plan.DESIRED] = "5"
    assert [step.to for step in plan.plan_proportional(target, new, [old])] == [5, 0]


def test_without_a_present_set_the_youngest_takes_the_size() -> None:
    """Paused at no replicas with a template that has no set yet. A rollback gave the older set the higher revision."""
    old = [replica_set("back", 0, revision=3, age=1000), replica_set("last", 0, revision=2, age=10)]
    (step,) = plan.plan_proportional(deployment(4, image="v3", paused=True), None, old)
    assert (step.replica_set["metadata"]["name"], step.to) == ("last", 4)


def test_the_history_of_revisions_forgets_the_oldest() -> None:
    current = {plan.REVISION: "9000", plan.REVISION_HISTORY: ",".join(str(each) for each in range(1000, 1400))}
    assert len(current[plan.REVISION_HISTORY]) == 1999
    found = plan.new_annotations(deployment(), current, 9001)
    assert found[plan.REVISION] == "9001"
    assert found[plan.REVISION_HISTORY].split(",") == [*(str(each) for each in range(1001, 1400)), "9000"]


def test_recreate_waits_for_the_old_pods() -> None:
    target = deployment(3, image="v2", strategy={"type": "Recreate"})
    new, old = replica_set("new", 0, image="v2"), replica_set("old", 3)
    steps = plan.plan_recreate(new, [old], target, old_pods_left=True)
    assert [(step.replica_set["metadata"]["name"], step.to) for step in steps] == [("old", 0)]
    gone = replica_set("old", 0)
    assert plan.plan_recreate(new, [gone], target, old_pods_left=True) == []
    assert [s.to for s in plan.plan_recreate(new, [gone], target, old_pods_left=False)] == [3]


def test_cleanup_keeps_the_newest_revisions() -> None:
    target = deployment(revisionHistoryLimit=2)
    old = [replica_set(f"r{i}", 0, revision=i) for i in (4, 1, 3, 2)]
    assert [each["metadata"]["name"] for each in plan.plan_cleanup(target, old)] == ["r1", "r2"]
    busy = [replica_set("r1", 1, revision=1), replica_set("r2", 0, revision=2), replica_set("r3", 0, revision=3)]
    assert plan.plan_cleanup(target, busy) == []


@settings(max_examples=300, deadline=None)
@given(
    replicas=st.integers(1, 12),
    surge=st.one_of(st.integers(0, 5), st.sampled_from(["0%", "25%", "50%", "100%"])),
    unavailable=st.one_of(st.integers(0, 5), st.sampled_from(["0%", "25%", "50%", "100%"])),
    seed=st.integers(0, 10_000),
)
def test_rolling_update_stays_within_its_bounds_and_ends(
    replicas: int, surge: int | str, unavailable: int | str, seed: int
) -> None:
    """Whatever order pods become ready in, and however old the statuses are: never more than wanted + surge, never
    fewer available than allowed."""
    rng = random.Random(seed)
    target = deployment(replicas, image="v2", strategy=rolling(surge, unavailable))
    most = replicas + plan.max_surge(target)
    fewest = replicas - plan.max_unavailable(target)
    sets = {"new": replica_set("new", 0, image="v2"), "old": replica_set("old", replicas)}
    available, existing = {"new": 0, "old": replicas}, {"new": 0, "old": replicas}
    for _ in range(400):
        for step in plan.plan_rolling(target, sets["new"], [sets["old"]]):
            name = step.replica_set["metadata"]["name"]
            sets[name]["spec"]["replicas"] = step.to
            # Scaling down takes unavailable pods first (rank_for_deletion).
            available[name] = min(available[name], step.to)
        assert plan.total_size(sets.values()) <= most
        assert sum(available.values()) >= fewest
        for name, each in sets.items():
            if rng.random() < 0.5:  # the ReplicaSet controller may be late, too
                existing[name] = plan.size(each)
            assert sum(existing.values()) <= most
            if available[name] < min(plan.size(each), existing[name]) and rng.random() < 0.7:
                available[name] += 1
            if rng.random() < 0.5:
                each["status"] |= {"availableReplicas": available[name], "replicas": existing[name]}
        if available == {"new": replicas, "old": 0} and plan.size(sets["old"]) == 0:
            return
    pytest.fail(f"did not end: {sets}")


def test_status_of_a_finished_rollout() -> None:
    target = deployment(3)
    sets = [replica_set("a", 3)]
    status = compute_status(target, sets, sets[0], NOW)
    status = with_progress(target, status, sets, sets[0], NOW)
    assert is_complete(target, status)
    assert {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]} == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert "unavailableReplicas" not in status


@pytest.mark.parametrize(("waited", "reason"), [(599, "NewReplicaSetCreated"), (600, "ProgressDeadlineExceeded")])
def test_progress_deadline(waited: int, reason: str) -> None:
    target = deployment(3)
    sets = [replica_set("a", 3, available=0)]
    progressing = {
        "type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated", "message": "",
        "lastUpdateTime": ago(waited), "lastTransitionTime": ago(waited),
    }  # fmt: skip
    target["status"] = {"replicas": 3, "updatedReplicas": 3, "conditions": [progressing]}
    before = deepcopy(target)
    status = with_progress(target, compute_status(target, sets, sets[0], NOW), sets, sets[0], NOW)
    found = next(c for c in status["conditions"] if c["type"] == "Progressing")
    assert found["reason"] == reason
    assert target == before


def test_a_failure_is_as_old_as_its_replica_set_says() -> None:
    target, sets = deployment(3), [replica_set("a", 3, available=0)]
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no room"}
    sets[0]["status"]["conditions"] = [{**failure, "lastTransitionTime": ago(60)}]
    status = with_progress(target, compute_status(target, sets, sets[0], NOW), sets, sets[0], NOW)
    found = next(c for c in status["conditions"] if c["type"] == "ReplicaFailure")
    assert found == {**failure, "lastTransitionTime": ago(60), "lastUpdateTime": ago(60)}


def test_a_set_whose_pods_still_go_leaves_no_room() -> None:
    """4 wanted, 1 more allowed: the old set was sized 3, and has 4 pods yet."""
    subject = deployment(4, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})
    old, new = replica_set("old", 3), replica_set("new", 1)
    assert plan.new_size(subject, [old, new], 1) == 2
    old["status"]["replicas"] = 4
    assert plan.new_size(subject, [old, new], 1) == 1


def test_a_set_whose_status_is_from_before_it_was_made_smaller_is_waited_for() -> None:
    """Its status may have counted too few: a pod that its controller had made and not yet seen."""
    subject = deployment(4, strategy=rolling(1, 1))
    old, new = replica_set("old", 3), replica_set("new", 1, image="v2", available=1, age=1)
    for status in (2, 3, 4):
        old["metadata"]["generation"], old["status"] = 2, {"replicas": status, "observedGeneration": 1}
        assert plan.new_size(subject, [old, new], 1) == 1
    old["status"] = {"replicas": 3, "observedGeneration": 2}
    assert plan.new_size(subject, [old, new], 1) == 2
