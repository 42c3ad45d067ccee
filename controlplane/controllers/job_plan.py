"""What a Job's pods amount to, and what to do next. Pure (pkg/controller/job; KEP-2307 tracking, KEP-2214 indexes).

A finished pod is counted exactly once: it carries a finalizer until its uid has been written to the status, first among
the uncounted, then into the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import JOBS
from apimachinery.meta import objects, pods, times
from controlplane.controllers.pod_control import render_pod

Object = dict[str, Any]

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
_FIRST_BACKOFF, _MAX_BACKOFF = 10.0, 600.0
_BURST = 500


@dataclass(slots=True)
class Counts:
    """Pods of a Job by state; sums include what was counted before and is gone."""

    active: list[Object] = field(default_factory=list)
    ready: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    # Finished pods that the status does not count yet, by uid.
    new_succeeded: dict[str, Object] = field(default_factory=dict)
    new_failed: dict[str, Object] = field(default_factory=dict)
    # Every failed pod that still exists: the newest one's end is what the backoff counts from.
    failures: list[Object] = field(default_factory=list)
    succeeded_indexes: set[int] = field(default_factory=set)


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


def is_indexed(job: Object) -> bool:
    """True for completionMode Indexed."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def finished(job: Object) -> Object | None:
    """Return the condition that says the Job has ended (Complete or Failed), or None."""
    for kind in ("Complete", "Failed"):
        found = pods.condition(job, kind)
        if found is not None and found.get("status") == "True":
            return found
    return None


def index_of(pod: Object) -> int | None:
    """Return the pod's completion index, or None."""
    text = objects.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def count(job: Object, owned: Sequence[Object]) -> Counts:
    """Sort the Job's pods. A pod deleted before it finished counts as failed."""
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    found = Counts(succeeded=int(status.get("succeeded") or 0), failed=int(status.get("failed") or 0))
    found.succeeded += len(uncounted.get("succeeded") or ())
    found.failed += len(uncounted.get("failed") or ())
    known = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())}
    found.succeeded_indexes = parse_indexes(status.get("completedIndexes") or "")
    limit = int(job["spec"].get("completions") or 0)
    for pod in owned:
        uid, tracked = objects.uid(pod), TRACKING in (pod["metadata"].get("finalizers") or ())
        if pods.phase(pod) == "Succeeded":
            index = index_of(pod)
            if is_indexed(job) and (index is None or index >= limit or index in found.succeeded_indexes):
                continue
            if tracked and uid not in known:
                found.new_succeeded[uid] = pod
                if index is not None:
                    found.succeeded_indexes.add(index)
        elif pods.phase(pod) == "Failed" or objects.is_deleting(pod):
            found.terminating += objects.is_deleting(pod) and pods.phase(pod) != "Failed"
            found.failures.append(pod)
            if tracked and uid not in known:
                found.new_failed[uid] = pod
        else:
            found.active.append(pod)
            found.ready += pods.is_ready(pod)
    found.succeeded += len(found.new_succeeded)
    found.failed += len(found.new_failed)
    if is_indexed(job):
        found.succeeded = len(found.succeeded_indexes)
    return found


def judge(job: Object, counts: Counts, now: datetime) -> Finish | None:
    """Tell whether the Job has ended, and how."""
    spec, status = job["spec"], job.get("status") or {}
    limit = int(spec.get("backoffLimit", 6))
    restarts = 0
    if (spec["template"].get("spec") or {}).get("restartPolicy") == "OnFailure":
        restarts = sum(_restarts(pod) for pod in counts.active)
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
    if completions is None:
        # Any success ends the work queue, once those still at work have ended too.
        done = counts.succeeded > 0 and not counts.active
    else:
        done = counts.succeeded >= int(completions)
        done = done and (not counts.active or is_indexed(job))
    return Finish("Complete", "CompletionsReached", "Reached expected number of succeeded pods") if done else None


def plan_pods(job: Object, counts: Counts, now: datetime) -> JobPlan:
    """Compare active pods with parallelism and what is left to complete."""
    spec = job["spec"]
    if spec.get("suspend"):
        return JobPlan(delete=tuple(counts.active))
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    if completions is None:
        # Once one has succeeded, no more are started.
        wanted = len(counts.active) if counts.succeeded > 0 else parallelism
    else:
        wanted = min(parallelism, max(0, int(completions) - counts.succeeded))
    surplus = len(counts.active) - wanted
    if surplus > 0:
        order = sorted(counts.active, key=lambda pod: (pods.is_ready(pod), pods.phase(pod) == "Running"))
        return JobPlan(delete=tuple(order[:surplus]))
    if surplus == 0:
        return JobPlan()
    wait = backoff_left(counts.failures, counts.failed, now)
    if wait > 0:
        return JobPlan(wait=wait)
    missing = min(-surplus, _BURST)
    if not is_indexed(job):
        return JobPlan(create=(None,) * missing)
    taken = {index_of(pod) for pod in counts.active} | counts.succeeded_indexes
    free = (index for index in range(int(completions or 0)) if index not in taken)
    return JobPlan(create=tuple(index for index, _ in zip(free, range(missing), strict=False)))


def backoff_left(failures: Iterable[Object], failed: int, now: datetime) -> float:
    """Return how long to wait after the newest failure: 10 s, doubled with each failure to 10 minutes."""
    moments = [_finish_time(pod) for pod in failures]
    ends = [moment for moment in moments if moment is not None]
    if not ends or failed == 0:
        return 0.0
    delay = min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failed - 1, 16))
    return max(0.0, delay - (now - max(ends)).total_seconds())


def _finish_time(pod: Object) -> datetime | None:
    ends = [
        ((status.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    known = [times.parse(end) for end in ends if end]
    if known:
        return max(known)
    deleted = pod["metadata"].get("deletionTimestamp")
    return times.parse(deleted) if deleted else None


def _restarts(pod: Object) -> int:
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return sum(int(each.get("restartCount") or 0) for each in every)


def selector_of(job: Object) -> Object:
    """Return the Job's selector: its own, or its uid's, as the API server generates it."""
    return job["spec"].get("selector") or {"matchLabels": {"batch.kubernetes.io/controller-uid": objects.uid(job)}}


def render_job_pod(job: Object, index: int | None) -> Object:
    """Return the pod to create, for one completion index in an indexed Job."""
    pod = render_pod(job["spec"]["template"], job, JOBS)
    metadata = pod["metadata"]
    for prefix in ("batch.kubernetes.io/", ""):
        metadata["labels"].setdefault(f"{prefix}controller-uid", objects.uid(job))
        metadata["labels"].setdefault(f"{prefix}job-name", objects.name(job))
    metadata["finalizers"] = [*metadata.get("finalizers", ()), TRACKING]
    if index is None:
        return pod
    metadata["annotations"][INDEX] = str(index)
    metadata["labels"][INDEX] = str(index)
    metadata["generateName"] = f"{objects.name(job)}-{index}-"
    spec = pod["spec"]
    spec["hostname"] = f"{objects.name(job)}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            env = deepcopy(container.get("env") or [])
            if not any(each.get("name") == "JOB_COMPLETION_INDEX" for each in env):
                container["env"] = [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    return pod


def parse_indexes(text: str) -> set[int]:
    """Parse `1,3-5,7`. Unreadable parts are ignored."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """Write indexes as upstream does: `1,3-5,7`; two neighbours are written with a comma."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(str(index) for index in run) for run in runs)


def expire_in(job: Object, now: datetime) -> float | None:
    """Return the seconds until a finished Job may be deleted (ttlSecondsAfterFinished, KEP-592); None for never."""
    end: Mapping[str, Any] | None = finished(job)
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if end is None or ttl is None or not end.get("lastTransitionTime"):
        return None
    return max(0.0, int(ttl) - (now - times.parse(end["lastTransitionTime"])).total_seconds())
