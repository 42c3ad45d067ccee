"""What a Job's pods amount to, and what to do next. Pure (pkg/controller/job; KEP-2307 tracking, KEP-2214 indexes).

A finished pod is counted exactly once: it carries a finalizer until its uid has been written to the status, first among
the uncounted, then into the sums; of an indexed Job's successes the index is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from apimachinery.meta import objects, pods, times
from controlplane.controllers import job_backoff, job_policies
from controlplane.controllers.job_indexes import (
    failures_of,
    index_of,
    is_indexed,
    is_limited_per_index,
    parse_indexes,
    valid_index,
)
from controlplane.controllers.pod_control import BURST
from controlplane.controllers.replicaset import order_by_use

Object = dict[str, Any]

TRACKING = "batch.kubernetes.io/job-tracking"
CONTROLLER = "kubernetes.io/job-controller"
_MAX_UNCOUNTED = 500


@dataclass(slots=True)
class Counts:
    """Pods of a Job by state; sums include what was counted before and is gone."""

    active: list[Object] = field(default_factory=list)
    # Being deleted and not finished. With podReplacementPolicy Failed they are not failed yet.
    terminating: list[Object] = field(default_factory=list)
    failed_pods: list[Object] = field(default_factory=list)
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    # Finished pods that the status does not count yet, by uid: those that are to be counted, and those that count
    # elsewhere (an index) or nowhere (an ignored failure).
    new_succeeded: dict[str, Object] = field(default_factory=dict)
    new_failed: dict[str, Object] = field(default_factory=dict)
    other_succeeded: list[Object] = field(default_factory=list)
    other_failed: list[Object] = field(default_factory=list)
    # The newest failed pod of each index that is to be tried again: it stays until its successor has its number.
    replaced: dict[int, Object] = field(default_factory=dict)
    # Pods that may lose their finalizer once the status is written.
    release: list[Object] = field(default_factory=list)
    # More pods are finished than one status may name.
    overfull: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """The Job has ended: kind is Complete or Failed, reason and message those of its condition."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class JobPlan:
    """create: one entry per pod, its completion index or None. wait: seconds until more may be created."""

    create: tuple[int | None, ...] = ()
    delete: tuple[Object, ...] = ()
    wait: float | None = None


def finished(job: Object) -> Object | None:
    """Return the condition that says the Job has ended (Complete or Failed), or None."""
    return next((found for kind in ("Complete", "Failed") if (found := _true(job, kind))), None)


def is_foreign(job: Object) -> bool:
    """Tell whether another controller manages the Job (managedBy, KEP-4368)."""
    return job["spec"].get("managedBy") not in (None, CONTROLLER)


def is_tracked(pod: Object) -> bool:
    """Tell whether the pod carries our finalizer."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def replaces_only_failed(job: Object) -> bool:
    """Tell whether a pod is replaced only once it has ended, and not while it is being deleted (KEP-3939)."""
    return job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy") is not None


def is_failed(job: Object, pod: Object) -> bool:
    """Tell whether the pod counts as failed: by its phase, or because it is deleted before it finished."""
    if pods.phase(pod) == "Failed":
        return True
    return objects.is_deleting(pod) and pods.phase(pod) != "Succeeded" and not replaces_only_failed(job)


def count(job: Object, owned: Sequence[Object]) -> Counts:
    """Sort the Job's pods."""
    status, limit = job.get("status") or {}, int(job["spec"].get("completions") or 0)
    uncounted = status.get("uncountedTerminatedPods") or {}
    known = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())}
    found = Counts(
        succeeded=int(status.get("succeeded") or 0) + len(uncounted.get("succeeded") or ()),
        failed=int(status.get("failed") or 0) + len(uncounted.get("failed") or ()),
    )
    if is_indexed(job):
        found.succeeded_indexes = parse_indexes(status.get("completedIndexes") or "", limit)
        found.failed_indexes = parse_indexes(status.get("failedIndexes") or "", limit)
    failures = []
    for pod in owned:
        if pods.phase(pod) == "Succeeded":
            _count_success(job, pod, found, known)
            continue
        if objects.is_deleting(pod) and pods.phase(pod) != "Failed":
            found.terminating.append(pod)
        if is_failed(job, pod):
            found.failed_pods.append(pod)
            failures.append(pod)
        elif not objects.is_deleting(pod):
            found.active.append(pod)
            found.ready += pods.is_ready(pod)
    if is_limited_per_index(job):
        _weigh_indexes(job, failures, found)
    # A Job that is deleted starts no successor.
    held = set() if objects.is_deleting(job) else {objects.uid(pod) for pod in found.replaced.values()}
    for pod in failures:
        count_failure(job, pod, found, known, hold=objects.uid(pod) in held)
    if is_indexed(job):
        found.succeeded = len(found.succeeded_indexes)
    return found


def _count_success(job: Object, pod: Object, found: Counts, known: set[str]) -> None:
    uid = objects.uid(pod)
    if not is_tracked(pod):
        return
    if is_indexed(job):
        index = valid_index(job, pod)
        if index is not None:
            found.succeeded_indexes.add(index)
            found.other_succeeded.append(pod)
    elif uid not in known:
        found.succeeded += 1
        if not _has_room(found, known):
            return
        found.new_succeeded[uid] = pod
    found.release.append(pod)


def count_failure(job: Object, pod: Object, found: Counts, known: Set[str], *, hold: bool = False) -> None:
    """Count a pod as failed if it is not counted yet. hold: it is not to lose its finalizer now."""
    uid = objects.uid(pod)
    if not is_tracked(pod):
        return
    if uid not in known and (not is_indexed(job) or valid_index(job, pod) is not None):
        counts = job_policies.match_failure(job, pod).counts
        found.failed += counts
        if hold:
            found.other_failed.append(pod)
            return
        if counts and not _has_room(found, known):
            return
        if counts:
            found.new_failed[uid] = pod
        else:
            found.other_failed.append(pod)
    found.release.append(pod)


def _has_room(found: Counts, known: Set[str]) -> bool:
    taken = len(found.new_succeeded) + len(found.new_failed) + len(known)
    found.overfull |= taken >= _MAX_UNCOUNTED
    return not found.overfull


def _weigh_indexes(job: Object, failures: Iterable[Object], found: Counts) -> None:
    """Find the indexes that have failed for good, and the pods whose failure count the next pod will carry on."""
    limit, at_work = int(job["spec"]["backoffLimitPerIndex"]), {index_of(pod) for pod in found.active}
    tracked = [(index, pod) for pod in failures if is_tracked(pod) and (index := valid_index(job, pod)) is not None]
    for index, pod in tracked:
        verdict = job_policies.match_failure(job, pod)
        if verdict.action == "FailIndex" or (verdict.counts and failures_of(pod)[0] >= limit):
            found.failed_indexes.add(index)
    for index, pod in tracked:
        if index in found.succeeded_indexes or index in found.failed_indexes or index in at_work:
            continue
        rank = (sum(failures_of(pod)), job_backoff.finish_time(pod))
        other = found.replaced.get(index)
        if other is None or rank >= (sum(failures_of(other)), job_backoff.finish_time(other)):
            found.replaced[index] = pod


def judge(job: Object, counts: Counts, now: datetime) -> Finish | None:
    """Tell whether the Job has ended, and how. What the status once announced stands."""
    spec, status = job["spec"], job.get("status") or {}
    for kind, interim in (("Complete", "SuccessCriteriaMet"), ("Failed", "FailureTarget")):
        if announced := _true(job, interim):
            return Finish(kind, announced.get("reason") or "", announced.get("message") or "")
    if message := job_policies.fail_job_message(job, counts.failed_pods):
        return Finish("Failed", "PodFailurePolicy", message)
    limit, restarts = int(spec.get("backoffLimit", 6)), 0
    if (spec["template"].get("spec") or {}).get("restartPolicy") == "OnFailure":
        restarts = sum(_restarts(pod) for pod in (*counts.active, *counts.terminating))
    if counts.failed > limit or (restarts > 0 and restarts >= limit):
        return Finish("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline, started = spec.get("activeDeadlineSeconds"), status.get("startTime")
    if (
        deadline is not None
        and started
        and not spec.get("suspend")
        and (now - times.parse(started)).total_seconds() >= int(deadline)
    ):
        return Finish("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    completions = spec.get("completions")
    if failed := len(counts.failed_indexes) if is_limited_per_index(job) else 0:
        most = spec.get("maxFailedIndexes")
        if most is not None and failed > int(most):
            text = "Job has exceeded the specified maximal number of failed indexes"
            return Finish("Failed", "MaxFailedIndexesExceeded", text)
        if failed + len(counts.succeeded_indexes) >= int(completions or 0):
            return Finish("Failed", "FailedIndexes", "Job has failed indexes")
    if is_indexed(job) and (message := job_policies.match_success(job, counts.succeeded_indexes)):
        return Finish("Complete", "SuccessPolicy", message)
    # Any success ends a work queue, once those still at work have ended too.
    least, at_work = (1, bool(counts.active)) if completions is None else (int(completions), False)
    done = counts.succeeded >= least and not at_work
    return Finish("Complete", "CompletionsReached", "Reached expected number of succeeded pods") if done else None


def plan_pods(job: Object, counts: Counts, backoff: job_backoff.Backoff, now: datetime) -> JobPlan:
    """Compare active pods with parallelism and what is left to complete. Deleting goes before creating."""
    spec = job["spec"]
    if objects.is_deleting(job):
        return JobPlan()
    if spec.get("suspend"):
        return JobPlan(delete=tuple(counts.active))
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    if completions is None:
        # Once one has succeeded, no more are started.
        wanted = len(counts.active) if counts.succeeded > 0 else parallelism
    else:
        wanted = min(parallelism, max(0, int(completions) - counts.succeeded))
    delete = _plan_deletions(job, counts.active, wanted)
    if delete:
        return JobPlan(delete=delete[:BURST])
    leaving = len(counts.terminating) if replaces_only_failed(job) else 0
    missing = min(wanted - leaving - len(counts.active), BURST)
    if missing <= 0:
        return JobPlan()
    if not is_limited_per_index(job):
        wait = job_backoff.left(backoff.failures, backoff.last, now)
        if wait > 0:
            return JobPlan(wait=wait)
    if not is_indexed(job):
        return JobPlan(create=(None,) * missing)
    taken = {index_of(pod) for pod in counts.active} | counts.succeeded_indexes | counts.failed_indexes
    if leaving:
        taken |= {index_of(pod) for pod in counts.terminating}
    free = list(islice((index for index in range(int(completions or 0)) if index not in taken), missing))
    waits = {index: _index_wait(counts.replaced.get(index), now) for index in free}
    ready = tuple(index for index in free if waits[index] <= 0)
    later = [wait for wait in waits.values() if wait > 0]
    return JobPlan(create=ready, wait=min(later) if later else None)


def _plan_deletions(job: Object, active: Sequence[Object], wanted: int) -> tuple[Object, ...]:
    """Choose the pods too many: first those without a valid index or whose index another has, then the least useful."""
    order = order_by_use(active)
    doubtful: list[Object] = []
    if is_indexed(job):
        keeper = {index: pod for pod in order if (index := valid_index(job, pod)) is not None}
        kept = {objects.uid(pod) for pod in keeper.values()}
        doubtful = [pod for pod in order if objects.uid(pod) not in kept]
        order = [pod for pod in order if objects.uid(pod) in kept]
    return (*doubtful, *order[: max(0, len(active) - wanted - len(doubtful))])


def _index_wait(failed: Object | None, now: datetime) -> float:
    if failed is None:
        return 0.0
    return job_backoff.left(sum(failures_of(failed)) + 1, job_backoff.finish_time(failed), now)


def _restarts(pod: Object) -> int:
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return sum(int(each.get("restartCount") or 0) for each in every)


def selector_of(job: Object) -> Object:
    """Return the Job's selector: its own, or its uid's, as the API server generates it."""
    return job["spec"].get("selector") or {"matchLabels": {"batch.kubernetes.io/controller-uid": objects.uid(job)}}


def _true(job: Object, kind: str) -> Object | None:
    found = pods.condition(job, kind)
    return found if found is not None and found.get("status") == "True" else None
