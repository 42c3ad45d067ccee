"""Order, identity and partitions of StatefulSets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers import statefulset_plan as plan
from controlplane.controllers.revisions import HASH_LABEL
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, pod, template

Object = dict[str, Any]


def stateful_set(replicas: int = 3, **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default", "uid": "uid-db", "generation": 1},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            **spec,
        },
    }


def member(number: int, revision: str = "r2", *, ready: bool = True, **kw: Any) -> Object:
    return pod(f"db-{number}", ready=ready, labels={"app": "web", HASH_LABEL: revision}, **kw)


def summary(step: plan.StatefulPlan) -> tuple[list[int], list[str]]:
    return [number for number, _ in step.create], [p["metadata"]["name"] for p in step.delete]


PARALLEL = {"podManagementPolicy": "Parallel"}
ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}
PARTITION = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("subject", "owned", "expected"),
    [
        pytest.param(stateful_set(), [], ([0], []), id="the first alone"),
        pytest.param(stateful_set(), [member(0, ready=False)], ([], []), id="the second waits"),
        pytest.param(stateful_set(), [member(0)], ([1], []), id="the second"),
        pytest.param(stateful_set(**PARALLEL), [], ([0, 1, 2], []), id="parallel"),
        pytest.param(stateful_set(), [member(0), member(2)], ([1], []), id="a gap is filled"),
        pytest.param(stateful_set(1), [member(0), member(1), member(2)], ([], ["db-2"]), id="down from the top"),
        pytest.param(
            stateful_set(1), [member(0), member(1), member(2, deleting=True)], ([], []), id="waits for the last"
        ),
        pytest.param(
            stateful_set(1, **PARALLEL), [member(0), member(1), member(2)], ([], ["db-2", "db-1"]), id="parallel down"
        ),
        pytest.param(
            stateful_set(0), [member(i, ready=False) for i in range(3)], ([], []), id="down waits for the lower ones"
        ),
        pytest.param(
            stateful_set(0), [member(0), member(1), member(2, ready=False)], ([], ["db-2"]), id="the one broken may go"
        ),
        pytest.param(
            stateful_set(0, minReadySeconds=60), [member(0), member(1, ready_for=59)], ([], []),
            id="down waits for who is not available yet"
        ),
        pytest.param(
            stateful_set(0, minReadySeconds=60), [member(0), member(1, ready_for=60)], ([], ["db-1"]),
            id="down from who is available"
        ),
        pytest.param(
            stateful_set(0, **PARALLEL), [member(i, ready=False) for i in range(2)], ([], ["db-1", "db-0"]),
            id="parallel down of broken ones"
        ),
        pytest.param(stateful_set(1), [member(0, phase="Failed")], ([], ["db-0"]), id="failed pods are replaced"),
        pytest.param(
            stateful_set(), [member(i, "r1") for i in range(3)], ([], ["db-2"]), id="update from the top"
        ),
        pytest.param(
            stateful_set(), [member(0, "r1"), member(1, "r1"), member(2, ready=False)], ([], []), id="update waits"
        ),
        pytest.param(
            stateful_set(), [member(0, "r1"), member(1, "r1"), member(2)], ([], ["db-1"]), id="update goes on"
        ),
        pytest.param(
            stateful_set(**PARTITION), [member(0, "r1"), member(1, "r1"), member(2)], ([], []), id="partition"
        ),
        pytest.param(stateful_set(**ON_DELETE), [member(i, "r1") for i in range(3)], ([], []), id="on delete"),
        pytest.param(stateful_set(ordinals={"start": 5}), [], ([5], []), id="other first ordinal"),
    ],
)  # fmt: skip
def test_next_step(subject: Object, owned: list[Object], expected: tuple[list[int], list[str]]) -> None:
    assert summary(plan.plan_step(subject, owned, "r1", "r2", NOW)) == expected


def test_below_the_partition_pods_are_made_of_the_current_revision() -> None:
    subject = stateful_set(**PARTITION, **PARALLEL)
    assert plan.plan_step(subject, [], "r1", "r2", NOW).create == ((0, "r1"), (1, "r1"), (2, "r2"))


def test_identity() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    subject = stateful_set(volumeClaimTemplates=[claim])
    made = plan.render_stateful_pod(subject, template(), 1, "r2")
    assert made["metadata"]["name"] == "db-1"
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("db-1", "db")
    assert made["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    assert [c["metadata"]["name"] for c in plan.render_claims(subject, 1)] == ["data-db-1"]


def test_the_update_revision_becomes_current_when_all_have_it() -> None:
    owned = [member(i) for i in range(3)]
    assert plan.compute_status(stateful_set(), owned, "r1", "r2", NOW)["currentRevision"] == "r2"
    owned[0] = member(0, "r1")
    status = plan.compute_status(stateful_set(), owned, "r1", "r2", NOW)
    assert (status["currentRevision"], status["currentReplicas"], status["updatedReplicas"]) == ("r1", 1, 2)


def test_on_delete_the_current_revision_stays() -> None:
    status = plan.compute_status(stateful_set(**ON_DELETE), [member(i) for i in range(3)], "r1", "r2", NOW)
    assert (status["currentRevision"], status["updateRevision"], status["updatedReplicas"]) == ("r1", "r2", 3)
    assert "currentReplicas" not in status


@given(st.lists(st.integers(0, 4), max_size=6), st.randoms(use_true_random=False))
def test_ordered_sets_converge_and_never_skip(sizes: list[int], rng: Any) -> None:
    """While sizes change: at most one step at a time, an ordinal never twice, none started before its predecessor."""
    running: dict[int, Object] = {}
    for size in [*sizes, 3]:
        for _ in range(40):
            step = plan.plan_step(stateful_set(size), list(running.values()), "r2", "r2", NOW)
            assert len(step.create) + len(step.delete) <= 1
            for number, revision in step.create:
                assert number not in running
                assert all(before in running for before in range(number))
                running[number] = member(number, revision, ready=False)
            for gone in step.delete:
                running.pop(plan.ordinal(stateful_set(), gone))
            for number in list(running):
                if rng.random() < 0.8:
                    running[number] = member(number)
    assert sorted(running) == [0, 1, 2]
