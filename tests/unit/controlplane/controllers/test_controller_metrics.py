"""The stable metrics of single controllers."""

import pytest

from apimachinery.kit.metrics import REGISTRY
from controlplane.controllers import observed


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def pods_finished(result: str) -> float:
    return told("job_controller_job_pods_finished_total", completion_mode="Indexed", result=result)


def jobs_finished(result: str, reason: str) -> float:
    labels = {"completion_mode": "Indexed", "result": result, "reason": reason}
    return told("job_controller_jobs_finished_total", **labels)


def test_a_job_counts_its_pods_as_they_are_counted_and_its_end_once() -> None:
    job = {"spec": {"completionMode": "Indexed"}, "status": {"succeeded": 2}}
    before = (pods_finished("succeeded"), pods_finished("failed"), jobs_finished("failed", "BackoffLimitExceeded"))
    interim = {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}
    end = {**interim, "type": "Failed"}
    first = {"succeeded": 3, "failed": 2, "conditions": [interim]}
    observed.job_written(job, first)
    assert jobs_finished("failed", "BackoffLimitExceeded") == before[2], "its pods still leave"
    last = {**first, "conditions": [interim, end]}
    observed.job_written({**job, "status": first}, last)
    observed.job_written({**job, "status": last}, last)
    assert (pods_finished("succeeded"), pods_finished("failed")) == (before[0] + 1, before[1] + 2)
    assert jobs_finished("failed", "BackoffLimitExceeded") == before[2] + 1


@pytest.mark.parametrize(
    ("created", "deleted", "action"), [(0, 0, "tracking"), (2, 0, "pods_created"), (0, 1, "pods_deleted")]
)
def test_a_step_of_a_job_says_what_came_of_it(created: int, deleted: int, action: str) -> None:
    def syncs(result: str, action: str) -> float:
        labels = {"completion_mode": "NonIndexed", "result": result, "action": action}
        counted = told("job_controller_job_syncs_total", **labels)
        assert counted == told("job_controller_job_sync_duration_seconds_count", **labels)
        return counted

    before = syncs("success", action), syncs("error", action), syncs("success", "reconciling")
    with observed.JobSync({"spec": {}}) as sync:
        sync.applied(created, deleted)
    with pytest.raises(RuntimeError), observed.JobSync({"spec": {}}) as sync:
        sync.applied(created, deleted)
        raise RuntimeError
    with observed.JobSync({"spec": {}}):
        pass
    after = syncs("success", action), syncs("error", action), syncs("success", "reconciling")
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
