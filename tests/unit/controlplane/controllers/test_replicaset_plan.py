"""How many pods, which go first, and what the status says."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.meta import labels
from controlplane.controllers.claim import plan_claim
from controlplane.controllers.pod_control import slow_start
from controlplane.controllers.replicaset import compute_status, plan_scale, rank_for_deletion
from controlplane.controllers.template_hash import compute_hash
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, pod, replica_set, template

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("wanted", "present", "create", "delete"),
    [
        pytest.param(3, [], 3, 0, id="none yet"),
        pytest.param(3, [pod("a"), pod("b", phase="Failed"), pod("c", deleting=True)], 2, 0, id="finished and leaving"),
        pytest.param(1, [pod("a"), pod("b"), pod("c")], 0, 2, id="too many"),
        pytest.param(600, [], 500, 0, id="burst"),
        pytest.param(0, [], 0, 0, id="nothing"),
    ],
)
def test_plan_scale(wanted: int, present: list[Object], create: int, delete: int) -> None:
    plan = plan_scale(replica_set("rs", wanted), present, present, NOW)
    assert (plan.create, len(plan.delete)) == (create, delete)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod("z", node="", ip=None), pod("a"), id="unassigned"),
        pytest.param(pod("z", phase="Pending"), pod("a"), id="pending"),
        pytest.param(pod("z"), pod("a", ready=True), id="not ready"),
        pytest.param(
            pod("z", ready=True, annotations={"controller.kubernetes.io/pod-deletion-cost": "-5"}),
            pod("a", ready=True),
            id="cheaper to delete",
        ),
        pytest.param(pod("z", ready=True, ready_for=9), pod("a", ready=True, ready_for=5000), id="ready for less long"),
        pytest.param(pod("z", ready=True, restarts=3), pod("a", ready=True), id="restarted more"),
        pytest.param(pod("z", ready=True, age=10), pod("a", ready=True, age=5000), id="younger"),
    ],
)
def test_who_goes_first(first: Object, second: Object) -> None:
    assert rank_for_deletion([second, first], [], NOW)[0] is first


def test_pods_of_the_crowded_node_go_first() -> None:
    crowd = [pod("a", ready=True, node="n1"), pod("b", ready=True, node="n1"), pod("c", ready=True, node="n2")]
    assert rank_for_deletion(crowd, crowd, NOW)[0]["spec"]["nodeName"] == "n1"


def test_nearly_equal_ages_do_not_decide() -> None:
    """Ages count by powers of two, so that scaling down does not always hit the same node (KEP-2185)."""
    young, old = pod("b", ready=True, ready_for=600, age=600), pod("a", ready=True, ready_for=1000, age=1000)
    assert rank_for_deletion([young, old], [], NOW)[0] is old  # by uid, not by age


def test_status_counts() -> None:
    owned = [
        pod("a", ready=True, ready_for=100, labels={"app": "web", "pod-template-hash": "rs"}),
        pod("b", ready=True, ready_for=5),
        pod("c"),
        pod("d", phase="Failed"),
    ]
    subject = replica_set("rs", 3)
    subject["spec"]["minReadySeconds"] = 30
    status = compute_status(subject, owned, None, plan_scale(subject, owned, owned, NOW), NOW)
    assert status == {
        "replicas": 3, "fullyLabeledReplicas": 1, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 1,
    }  # fmt: skip


def test_a_status_that_may_have_counted_too_few_observes_no_generation() -> None:
    subject = replica_set("rs", 3)
    subject["metadata"]["generation"] = 2
    plan = plan_scale(subject, [], [], NOW)
    subject["status"] = {"replicas": 1, "observedGeneration": 1}
    again = compute_status(subject, [pod("a"), pod("b")], None, plan, NOW, all_seen=False)
    assert (again["replicas"], again["observedGeneration"]) == (2, 1)
    del subject["status"]
    assert "observedGeneration" not in compute_status(subject, [pod("a")], None, plan, NOW, all_seen=False)


def test_status_tells_of_a_failure_and_forgets_it() -> None:
    subject = replica_set("rs", 3)
    plan = plan_scale(subject, [], [], NOW)
    failed = compute_status(subject, [], RuntimeError("quota"), plan, NOW)
    assert [(c["type"], c["reason"]) for c in failed["conditions"]] == [("ReplicaFailure", "FailedCreate")]
    assert "conditions" not in compute_status({**subject, "status": failed}, [], None, plan, NOW)


def test_claim_adopts_orphans_and_releases_strangers() -> None:
    owner, other = replica_set("rs", 3), replica_set("other", 3)
    selector = labels.from_set({"app": "web"})
    ours, lost = pod("ours", owner=owner), pod("lost", owner=owner, labels={"app": "x"})
    orphan, theirs, leaving = pod("orphan"), pod("theirs", owner=other), pod("leaving", deleting=True)
    claim = plan_claim(owner, selector, [ours, lost, orphan, theirs, leaving])
    assert (claim.owned, claim.adopt, claim.release) == ([ours], [orphan], [lost])


async def test_slow_start_learns_from_one_failure() -> None:
    calls = 0

    async def refuse() -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("quota")

    done, failure = await slow_start(100, refuse)
    assert (done, calls, str(failure)) == (0, 1, "quota")


async def test_slow_start_doubles() -> None:
    batches: list[int] = []

    async def create() -> None:
        batches.append(len(batches))

    assert await slow_start(10, create) == (10, None)
    assert len(batches) == 10


def test_hash_is_stable_and_sees_differences_only() -> None:
    assert compute_hash(template()) == compute_hash({**template(), "spec": {**template()["spec"], "volumes": []}})
    assert compute_hash(template()) != compute_hash(template("v2"))
    assert compute_hash(template()) != compute_hash(template(), 1)
    assert set(compute_hash(template())) <= set("bcdfghjklmnpqrstvwxz2456789")
