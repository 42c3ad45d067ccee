"""Counting, ending, and what a Job starts next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers import job_indexes, job_policies
from controlplane.controllers import job_plan as plan
from controlplane.controllers.job_backoff import Backoff, after, finish_time, left
from controlplane.controllers.job_pod import render_job_pod
from controlplane.controllers.job_status import conclude, news, render_status
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
        made["metadata"]["annotations"] = {job_indexes.INDEX: str(index)}
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
        pytest.param(job(), [worker("a", deleting=True, age=100)], 1, 0, id="replaced while it is being deleted"),
        pytest.param(
            job(podReplacementPolicy="Failed"), [worker("a", deleting=True)], 0, 0, id="replaced once it has ended"
        ),
    ],
)
def test_next_step(subject: Object, owned: list[Object], create: int, delete: int) -> None:
    step = next_step(subject, owned)
    assert (len(step.create), len(step.delete)) == (create, delete)


def next_step(subject: Object, owned: list[Object]) -> plan.JobPlan:
    counts = plan.count(subject, owned)
    failed = [*counts.new_failed.values(), *counts.other_failed]
    return plan.plan_pods(subject, counts, after(Backoff(), list(counts.new_succeeded.values()), failed), NOW)


def test_indexes_that_are_neither_done_nor_at_work_come_next() -> None:
    subject = job({"completedIndexes": "0,2"}, completionMode="Indexed", completions=6, parallelism=3)
    counts = plan.count(subject, [worker("a", index=1), worker("b", "Succeeded", index=3)])
    assert counts.succeeded == 3
    assert plan.plan_pods(subject, counts, Backoff(), NOW).create == (4, 5)


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
    made = render_job_pod(job(completionMode="Indexed"), 3)
    assert made["metadata"]["generateName"] == "work-3-"
    assert made["spec"]["hostname"] == "work-3"
    assert made["metadata"]["finalizers"] == [plan.TRACKING]
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "work"


@given(st.sets(st.integers(0, 40)))
def test_indexes_are_written_as_they_are_read(indexes: set[int]) -> None:
    assert job_indexes.parse_indexes(job_indexes.format_indexes(indexes), 41) == indexes


def test_index_format_is_upstreams() -> None:
    assert job_indexes.format_indexes({1, 3, 4, 5, 7, 8}) == "1,3-5,7,8"


def rule(action: str, **of: Any) -> Object:
    return {"action": action, **of}


def exited(code: int, **kw: Any) -> Object:
    made = worker("a", "Failed", **kw)
    terminated = {"exitCode": code, "finishedAt": ago(50)}
    made["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": terminated}}]
    return made


CODES = {"operator": "In", "values": [3, 42]}


@pytest.mark.parametrize(
    ("rules", "failed", "action", "counts"),
    [
        pytest.param([], exited(1), "", True, id="no rule"),
        pytest.param([rule("FailJob", onExitCodes=CODES)], exited(42), "FailJob", True, id="code listed"),
        pytest.param([rule("FailJob", onExitCodes=CODES)], exited(1), "", True, id="code not listed"),
        pytest.param(
            [rule("Ignore", onExitCodes={"operator": "NotIn", "values": [3]})], exited(1), "Ignore", False, id="NotIn"
        ),
        pytest.param(
            [rule("Ignore", onExitCodes={"operator": "NotIn", "values": [3]})], exited(0), "", True, id="0 never"
        ),
        pytest.param(
            [rule("FailJob", onExitCodes={**CODES, "containerName": "side"})], exited(42), "", True, id="another's"
        ),
        pytest.param(
            [rule("Bogus", onExitCodes=CODES), rule("Count", onExitCodes=CODES)], exited(3), "Count", True, id="unknown"
        ),
        pytest.param(
            [rule("Ignore", onPodConditions=[{"type": "Ready", "status": "False"}])], exited(1), "Ignore", False,
            id="condition",
        ),
        pytest.param([rule("FailIndex", onExitCodes=CODES)], exited(3), "", True, id="FailIndex without indexes"),
    ],
)  # fmt: skip
def test_failure_policy(rules: list[Object], failed: Object, action: str, counts: bool) -> None:
    verdict = job_policies.match_failure(job(podFailurePolicy={"rules": rules}), failed)
    assert (verdict.action, verdict.counts) == (action, counts)


def test_a_policy_fails_the_job_and_says_which_pod_and_rule() -> None:
    subject = job(podFailurePolicy={"rules": [rule("FailJob", onExitCodes=CODES)]})
    finish = plan.judge(subject, plan.count(subject, [exited(42)]), NOW)
    assert finish is not None
    assert (finish.kind, finish.reason) == ("Failed", "PodFailurePolicy")
    expected = "Container main for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    assert finish.message == expected
    conditions = [{"type": "Ready", "status": "False"}]
    subject = job(podFailurePolicy={"rules": [rule("FailJob", onPodConditions=conditions)]})
    finish = plan.judge(subject, plan.count(subject, [exited(1)]), NOW)
    assert finish is not None
    assert finish.message == "Pod default/a has condition Ready matching FailJob rule at index 0"


def test_an_ignored_failure_is_not_counted_but_waited_for() -> None:
    subject = job(backoffLimit=0, podFailurePolicy={"rules": [rule("Ignore", onExitCodes=CODES)]})
    gone = exited(3)
    gone["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = ago(4)
    counts = plan.count(subject, [gone])
    assert (counts.failed, counts.new_failed, counts.release) == (0, {}, [gone])
    assert plan.judge(subject, counts, NOW) is None
    assert next_step(subject, [gone]).wait == 6


@pytest.mark.parametrize(
    ("rules", "succeeded", "message"),
    [
        ([{"succeededIndexes": "0-1"}], {0}, ""),
        ([{"succeededIndexes": "0-1"}], {0, 1}, "Matched rules at index 0"),
        ([{"succeededCount": 3}, {"succeededIndexes": "1,4", "succeededCount": 1}], {4}, "Matched rules at index 1"),
        ([{"succeededCount": 2}], {0, 3}, "Matched rules at index 0"),
        ([{"succeededIndexes": "7-9"}], {0, 1}, ""),
        ([{"succeededCount": 0}], set(), ""),
    ],
)
def test_success_policy(rules: list[Object], succeeded: set[int], message: str) -> None:
    subject = job(completionMode="Indexed", completions=5, successPolicy={"rules": rules})
    assert job_policies.match_success(subject, succeeded) == message


def per_index(status: Object | None = None, **spec: Any) -> Object:
    spec = {"completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1, "backoffLimit": 2**31 - 1, **spec}
    return job(status, completionMode="Indexed", **spec)


def try_of(name: str, index: int, failures: int, seconds: float = 50) -> Object:
    made = ended(name, seconds, index=index)
    made["metadata"]["annotations"][job_indexes.FAILURES] = str(failures)
    return made


def test_each_index_has_its_own_backoff_and_limit() -> None:
    """Index 0 failed once and is tried again in its time; 1 failed twice and is out; 2 goes on."""
    subject = per_index()
    first, second, other = try_of("a", 0, 0, 4), try_of("b", 1, 1), worker("c", index=2)
    counts = plan.count(subject, [first, second, other])
    assert counts.failed_indexes == {1}
    assert counts.replaced == {0: first}
    assert counts.release == [second], "the failed pod stays until its successor carries its number on"
    step = plan.plan_pods(subject, counts, Backoff(), NOW)
    assert (step.create, step.wait) == ((), 6)
    again = render_job_pod(subject, 0, first)
    assert again["metadata"]["annotations"][job_indexes.FAILURES] == "1"
    assert plan.count(subject, [first, worker("d", index=0)]).release == [first]


def test_indexes_that_failed_end_the_job() -> None:
    subject = per_index({"startTime": ago(10), "failedIndexes": "0", "completedIndexes": "1", "succeeded": 1})
    finish = plan.judge(subject, plan.count(subject, [try_of("b", 2, 1)]), NOW)
    assert finish is not None
    assert (finish.reason, finish.message) == ("FailedIndexes", "Job has failed indexes")
    subject = per_index({"startTime": ago(10), "failedIndexes": "0"}, completions=9, maxFailedIndexes=1)
    finish = plan.judge(subject, plan.count(subject, [try_of("b", 2, 1)]), NOW)
    assert finish is not None and finish.reason == "MaxFailedIndexesExceeded"
    policy = {"rules": [rule("FailIndex", onExitCodes=CODES)]}
    failed = exited(3, index=1)
    assert plan.count(per_index(podFailurePolicy=policy), [failed]).failed_indexes == {1}


def test_pods_with_the_same_or_no_index_go_first() -> None:
    subject = job(completionMode="Indexed", completions=3, parallelism=3)
    owned = [worker("a", index=0, ready=True), worker("b", index=0), worker("c"), worker("d", index=7)]
    step = next_step(subject, owned)
    assert sorted(pod["metadata"]["name"] for pod in step.delete) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(worker("z", node="", ip=None), worker("a"), id="not bound"),
        pytest.param(worker("z", phase="Pending"), worker("a"), id="pending"),
        pytest.param(worker("z"), worker("a", ready=True), id="not ready"),
        pytest.param(worker("z", ready=True, ready_for=600), worker("a", ready=True, ready_for=601), id="ready later"),
        pytest.param(worker("z", ready=True, restarts=3), worker("a", ready=True), id="restarted more"),
        pytest.param(worker("z", ready=True, age=600), worker("a", ready=True, age=601), id="made later"),
        pytest.param(
            worker("z", ready=True, ready_for=9),
            worker("a", ready=True, annotations={"controller.kubernetes.io/pod-deletion-cost": "-5"}),
            id="costs are of ReplicaSets",
        ),
    ],
)
def test_of_pods_too_many_the_least_advanced_goes(first: Object, second: Object) -> None:
    assert next_step(job(parallelism=1, completions=5), [second, first]).delete == (first,)


def test_a_success_forgets_the_failures_before_it() -> None:
    first = after(Backoff(), [], [ended("a", 100), ended("b", 50)])
    assert (first.failures, left(first.failures, first.last, NOW)) == (2, 0)
    assert after(first, [], [ended("b", 50)]).failures == 2, "a pod shown twice fails once"
    done = worker("c", "Succeeded")
    done["status"]["containerStatuses"] = [{"name": "m", "state": {"terminated": {"finishedAt": ago(20)}}}]
    later = after(first, [done], [ended("d", 30), ended("e", 10)])
    assert (later.failures, left(later.failures, later.last, NOW)) == (1, 0)
    assert left(3, NOW, NOW) == 40
    assert left(99, NOW, NOW) == 600


def test_when_a_pod_ended() -> None:
    unready = worker("a", "Failed", ready_for=7)
    assert finish_time(unready) == finish_time(ended("b", 7))
    unready["status"]["conditions"] = []
    unready["metadata"] |= {"deletionTimestamp": ago(1), "deletionGracePeriodSeconds": 30}
    assert finish_time(unready) == finish_time(ended("b", 31))


def written(subject: Object, owned: list[Object], *, deleted: int = 0) -> Object:
    """The status after one step in which nothing is created and `deleted` active pods were."""
    counts = plan.count(subject, owned)
    finish = plan.judge(subject, counts, NOW)
    if finish is not None:
        conclude(subject, counts, owned, finish)
    return render_status(
        subject, counts, owned, finish, ago(0),
        active=len(counts.active) - deleted, terminating=len(counts.terminating) + deleted, ready=0,
    )  # fmt: skip


def kinds(status: Object) -> list[str]:
    return [each["type"] for each in status["conditions"] if each["status"] == "True"]


def test_a_failed_job_first_names_its_target_then_counts_everyone_then_is_failed() -> None:
    subject, bad, other = job(backoffLimit=0, parallelism=2, completions=2), worker("a", "Failed"), worker("b")
    first = written(subject, [bad, other], deleted=1)
    assert kinds(first) == ["FailureTarget"]
    assert sorted(first["uncountedTerminatedPods"]["failed"]) == ["uid-a", "uid-b"]
    leaving = worker("b", tracked=False, deleting=True)
    bad["metadata"]["finalizers"] = []
    second = written({**subject, "status": first}, [bad, leaving])
    assert (second["failed"], second["uncountedTerminatedPods"], kinds(second)) == (2, {}, ["FailureTarget"])
    third = written({**subject, "status": second}, [bad])
    assert (third["failed"], kinds(third)) == (2, ["FailureTarget", "Failed"])
    told = list(news({**subject, "status": second}, third))
    assert told == [("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit")]


def test_a_policy_of_success_ends_the_others_without_counting_them_as_failed() -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    subject = job(completionMode="Indexed", completions=3, parallelism=3, successPolicy=policy)
    owned = [worker("a", "Succeeded", index=0), worker("b", index=1)]
    first = written(subject, owned, deleted=1)
    assert (first["completedIndexes"], kinds(first)) == ("0", ["SuccessCriteriaMet"])
    assert first["uncountedTerminatedPods"] == {}
    for each in owned:
        each["metadata"]["finalizers"] = []
    second = written({**subject, "status": first}, owned[:1])
    assert kinds(second) == ["SuccessCriteriaMet", "Complete"]
    assert second["conditions"][1]["reason"] == "SuccessPolicy"
    assert second["completionTime"] == ago(0)
    assert "failed" not in second


def test_a_job_that_is_deleted_is_counted_and_lets_every_pod_go() -> None:
    subject = job(parallelism=3, completions=5, backoffLimit=6, suspend=True)
    subject["metadata"]["deletionTimestamp"] = ago(1)
    owned = [worker("a", "Succeeded"), worker("b", "Failed"), worker("c")]
    assert next_step(subject, owned) == plan.JobPlan(), "nothing is started or stopped"
    counts = plan.count(subject, owned)
    conclude(subject, counts, owned, None)
    assert counts.release == owned
    status = render_status(subject, counts, owned, None, ago(0), active=1, terminating=0, ready=0)
    assert status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"], "failed": ["uid-b"]}
    assert (status["active"], status.get("conditions")) == (1, None)
    subject = per_index()
    subject["metadata"]["deletionTimestamp"] = ago(1)
    retried = try_of("a", 0, 0)
    assert plan.count(subject, [retried]).release == [retried], "it has no successor to wait for"


def test_a_job_that_is_deleted_may_still_fail() -> None:
    subject, owned = job(backoffLimit=0, parallelism=2, completions=5), [worker("a", "Failed"), worker("b")]
    subject["metadata"]["deletionTimestamp"] = ago(1)
    status = written(subject, owned, deleted=1)
    assert kinds(status) == ["FailureTarget"]
    assert sorted(status["uncountedTerminatedPods"]["failed"]) == ["uid-a", "uid-b"]


def test_suspension_is_said_once_and_its_end_starts_the_clock_anew() -> None:
    subject = job(suspend=True)
    paused = written(subject, [])
    assert kinds(paused) == ["Suspended"]
    assert list(news(subject, paused)) == [("Normal", "Suspended", "Job suspended")]
    subject = {**job(), "status": paused}
    again = written(subject, [])
    assert again["startTime"] == ago(0)
    assert list(news(subject, again)) == [("Normal", "Resumed", "Job resumed")]
    assert written({**subject, "status": again}, []) == again


def test_one_status_names_no_more_than_500_pods() -> None:
    subject = job(completions=600, parallelism=600)
    counts = plan.count(subject, [worker(f"p{number}", "Succeeded") for number in range(600)])
    assert (counts.succeeded, len(counts.new_succeeded), len(counts.release)) == (600, 500, 500)


@pytest.mark.parametrize("text", ["x", "3-", "-", "", ",,", "4-2", "5-99999999999999", "²"])
def test_unreadable_indexes_cost_nothing(text: str) -> None:
    assert job_indexes.parse_indexes(text, 4) == set()
