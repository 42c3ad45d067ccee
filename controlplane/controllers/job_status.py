"""What a Job's status says after one step, and what is to be told of it. Pure (pkg/controller/job)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from apimachinery.meta import objects, pods
from controlplane.controllers import conditions
from controlplane.controllers.job_indexes import format_indexes, is_indexed, is_limited_per_index
from controlplane.controllers.job_plan import Counts, Finish, count_failure, is_failed, is_tracked

Object = dict[str, Any]

_INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}


def conclude(job: Object, counts: Counts, owned: Iterable[Object], finish: Finish | None) -> None:
    """When a Job ends or is deleted, every pod may go: each that has not finished counts as failed if the Job has."""
    uncounted = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
    known = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ()), *counts.new_failed}
    known |= {objects.uid(pod) for pod in counts.release}
    for pod in owned:
        if pods.phase(pod) == "Succeeded" or not is_tracked(pod) or objects.uid(pod) in known:
            continue
        if finish is not None and finish.kind == "Failed":
            count_failure(job, pod, counts, known - counts.new_failed.keys())
        elif finish is not None or not is_failed(job, pod):
            counts.release.append(pod)


def render_status(
    job: Object,
    counts: Counts,
    owned: Sequence[Object],
    finish: Finish | None,
    stamp: str,
    *,
    active: int,
    terminating: int,
    ready: int,
) -> Object:
    """Return the status to write. active, terminating, ready: pods after what was just created and deleted."""
    before = job.get("status") or {}
    status = {**before, "ready": ready, "terminating": terminating}
    if active:
        status["active"] = active
    else:
        status.pop("active", None)
    tracked = {objects.uid(pod) for pod in owned if is_tracked(pod)}
    left: dict[str, list[str]] = {}
    # Shown without its finalizer, a pod can no more be taken for one that is not counted: its uid becomes a number.
    for kind, new in (("succeeded", counts.new_succeeded), ("failed", counts.new_failed)):
        uids = (before.get("uncountedTerminatedPods") or {}).get(kind) or ()
        status[kind] = int(before.get(kind) or 0) + sum(uid not in tracked for uid in uids)
        left[kind] = [*(uid for uid in uids if uid in tracked), *new]
    status["uncountedTerminatedPods"] = {kind: uids for kind, uids in left.items() if uids}
    if is_indexed(job):
        status["succeeded"] = len(counts.succeeded_indexes)
        status["completedIndexes"] = format_indexes(counts.succeeded_indexes)
        if is_limited_per_index(job):
            status["failedIndexes"] = format_indexes(counts.failed_indexes)
    for kind in ("succeeded", "failed", "completedIndexes"):
        if not status.get(kind):
            status.pop(kind, None)
    if not job["spec"].get("suspend"):
        status.setdefault("startTime", stamp)
    elif finish is None:
        # activeDeadlineSeconds counts from when the Job goes on. Validation lets a suspended Job forget the time and
        # does not let a resumed one change it (upstream, until 1.34.2, keeps it and cannot resume: issue 134521).
        status.pop("startTime", None)
    found = list(before.get("conditions") or ())
    if finish is None:
        found = found if objects.is_deleting(job) else _suspension(job, found, stamp)
    else:
        announced = conditions.find(found, _INTERIM[finish.kind]) is not None
        found = _ensure(found, _INTERIM[finish.kind], "True", finish.reason, finish.message, stamp)
        if announced and not (active or terminating or tracked or status["uncountedTerminatedPods"]):
            found = _ensure(found, finish.kind, "True", finish.reason, finish.message, stamp)
            status.setdefault("startTime", stamp)  # a Job that ends while it is suspended never began
            if finish.kind == "Complete":
                status["completionTime"] = stamp
    if found:
        status["conditions"] = found
    return status


def _suspension(job: Object, found: list[Object], stamp: str) -> list[Object]:
    if job["spec"].get("suspend"):
        return _ensure(found, "Suspended", "True", "JobSuspended", "Job suspended", stamp)
    current = conditions.find(found, "Suspended")
    if current is None or current.get("status") == "False":
        return found
    return _ensure(found, "Suspended", "False", "JobResumed", "Job resumed", stamp)


def _ensure(found: Sequence[Object], kind: str, word: str, reason: str, message: str, stamp: str) -> list[Object]:
    """Return the conditions with one set; its times move with whatever changes of it."""
    current = conditions.find(found, kind) or {}
    if (current.get("status"), current.get("reason"), current.get("message")) == (word, reason, message):
        return list(found)
    made = {"type": kind, "status": word, "lastProbeTime": stamp, "lastTransitionTime": stamp}
    made |= {"reason": reason, "message": message}
    if current:
        return [made if each.get("type") == kind else each for each in found]
    return [*found, made]


def news(job: Object, status: Object) -> Iterator[tuple[str, str, str]]:
    """Yield type, reason and message of the events that the change of status is worth."""
    before = (job.get("status") or {}).get("conditions") or ()
    for now in status.get("conditions") or ():
        if (conditions.find(before, now["type"]) or {}).get("status") == now["status"]:
            continue
        match now["type"], now["status"]:
            case "Suspended", word:
                yield "Normal", "Suspended" if word == "True" else "Resumed", now["message"]
            case "Complete", "True":
                completions = job["spec"].get("completions")
                if completions is not None and int(status.get("succeeded") or 0) > int(completions):
                    text = "Too many succeeded pods running after completion count reached"
                    yield "Warning", "TooManySucceededPods", text
                yield "Normal", "Completed", "Job completed"
            case "Failed", "True":
                yield "Warning", now["reason"], now["message"]
