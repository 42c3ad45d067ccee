"""Counting, ending, and what a Job starts next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers import job_plan as plan
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, ago, pod, template

Object = dict[str, Any]


def job(status: Object | None = None, **spec: Any) -> Object:
    body = template()
    body["spec"]["restartPolicy"] = "Never"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": "default", "uid": "uid-work"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": body, **spec},
        "status": status or {"startTime": ago(10)},
    }


def worker(name: str, phase: str = "Running", *, index: int | None = None, tracked: bool = True, **kw: Any) -> Object:
    made = pod(name, phase=phase, **kw)
    if tracked:
        made["metadata"]["finalizers"] = [plan.TRACKING]
    if index is not None:
        made["metadata"]["annotations"] = {plan.INDEX: str(index)}
    return made


def ended(name: str, seconds: float, **kw: Any) -> Object:
    made = worker(name, "Failed", **kw)
    made["status"]["containerStatuses"] = [{"name": "m", "state": {"terminated": {"finishedAt": ago(seconds)}}}]
    return made


@pytest.mark.parametrize(
    ("subject", "owned", "create", "delete"),
    [
        pytest.param(job(), [], 1, 0, id="first"),
        pytest.param(job(completions=5, parallelism=2), [worker("a")], 1, 0, id="up to parallelism"),
        pytest.param(job(completions=5, parallelism=9), [worker("a", "Succeeded")], 4, 0, id="no more than are left"),
        pytest.param(job(completions=5, parallelism=1), [worker("a"), worker("b")], 0, 1, id="parallelism lowered"),
        pytest.param(job(suspend=True), [worker("a")], 0, 1, id="suspended"),
        pytest.param(
            job(completions=None, parallelism=3), [worker("a", "Succeeded"), worker("b")], 0, 0, id="queue drained"
        ),
        pytest.param(job(), [ended("a", 5)], 0, 0, id="failed a moment ago"),
        pytest.param(job(), [ended("a", 11)], 1, 0, id="failed long enough ago"),
        pytest.param(job(), [ended("a", 5, tracked=False)], 1, 0, id="counted failure of an old status"),
    ],
)
def test_next_step(subject: Object, owned: list[Object], create: int, delete: int) -> None:
    step = plan.plan_pods(subject, plan.count(subject, owned), NOW)
    assert (len(step.create), len(step.delete)) == (create, delete)


def test_backoff_counts_from_the_newest_failure_though_it_is_counted() -> None:
    subject = job({"startTime": ago(100), "failed": 2})
    counts = plan.count(subject, [ended("a", 5, tracked=False)])
    assert plan.plan_pods(subject, counts, NOW).wait == 15


def test_indexes_that_are_neither_done_nor_at_work_come_next() -> None:
    subject = job({"completedIndexes": "0,2"}, completionMode="Indexed", completions=6, parallelism=3)
    counts = plan.count(subject, [worker("a", index=1), worker("b", "Succeeded", index=3)])
    assert counts.succeeded == 3
    assert plan.plan_pods(subject, counts, NOW).create == (4, 5)


@pytest.mark.parametrize(
    ("subject", "owned", "reason"),
    [
        pytest.param(job(), [worker("a")], None, id="at work"),
        pytest.param(job(), [worker("a", "Succeeded")], "CompletionsReached", id="done"),
        pytest.param(job(backoffLimit=0), [worker("a", "Failed")], "BackoffLimitExceeded", id="no second try"),
        pytest.param(job(backoffLimit=1), [worker("a", "Failed")], None, id="a second try"),
        pytest.param(job(activeDeadlineSeconds=10), [worker("a")], "DeadlineExceeded", id="too late"),
        pytest.param(job(activeDeadlineSeconds=11), [worker("a")], None, id="in time"),
        pytest.param(
            job(completions=None), [worker("a", "Succeeded"), worker("b")], None, id="queue: others still at work"
        ),
        pytest.param(job(completions=None), [worker("a", "Succeeded")], "CompletionsReached", id="queue done"),
    ],
)
def test_the_end(subject: Object, owned: list[Object], reason: str | None) -> None:
    finish = plan.judge(subject, plan.count(subject, owned), NOW)
    assert (finish.reason if finish else None) == reason


def test_a_pod_is_counted_once() -> None:
    """Uncounted in the status and still tracked: the same pod, not another."""
    done = worker("a", "Succeeded")
    subject = job({"startTime": ago(10), "succeeded": 1, "uncountedTerminatedPods": {"succeeded": ["uid-a"]}})
    counts = plan.count(subject, [done])
    assert (counts.succeeded, counts.new_succeeded) == (2, {})


def test_an_indexed_pod_knows_its_index() -> None:
    made = plan.render_job_pod(job(completionMode="Indexed"), 3)
    assert made["metadata"]["generateName"] == "work-3-"
    assert made["spec"]["hostname"] == "work-3"
    assert made["metadata"]["finalizers"] == [plan.TRACKING]
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "work"


@given(st.sets(st.integers(0, 40)))
def test_indexes_are_written_as_they_are_read(indexes: set[int]) -> None:
    assert plan.parse_indexes(plan.format_indexes(indexes)) == indexes


def test_index_format_is_upstreams() -> None:
    assert plan.format_indexes({1, 3, 4, 5, 7, 8}) == "1,3-5,7,8"


@pytest.mark.parametrize(("ttl", "expected"), [(None, None), (0, 0.0), (30, 20.0)])
def test_time_to_live(ttl: int | None, expected: float | None) -> None:
    done = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": ago(10)}]}
    assert plan.expire_in(job(done, ttlSecondsAfterFinished=ttl), NOW) == expected
