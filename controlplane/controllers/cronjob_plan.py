"""When a CronJob runs next, and what its runs amount to. Pure (pkg/controller/cronjob)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apimachinery.api.catalogue import CRONJOBS
from apimachinery.controller.owners import owner_reference
from apimachinery.meta import cron, objects, times
from controlplane.controllers.job_plan import finished

Object = dict[str, Any]

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = 100
"""So many missed times are told about."""
_PADDING = 0.1
"""Seconds that we come after a scheduled time, for clocks that differ a little."""


@dataclass(frozen=True, slots=True)
class Due:
    """since: what times are counted from. latest: the last time that was due and not served, or None.

    missed: how many were, roughly.
    """

    since: datetime
    latest: datetime | None = None
    missed: int = 0


def schedule_of(cronjob: Object) -> cron.Schedule:
    """Return the CronJob's schedule in its time zone (UTC when it names none). Raises ValueError."""
    spec = cronjob["spec"]
    return cron.parse(str(spec.get("schedule") or ""), cron.load_zone(spec.get("timeZone") or ""))


def compute_due(cronjob: Object, schedule: cron.Schedule, now: datetime, *, deadline: bool = True) -> Due:
    """Return what is due. deadline: times older than startingDeadlineSeconds do not count.

    Raises ValueError for a schedule that never comes, or never twice.
    """
    last = (cronjob.get("status") or {}).get("lastScheduleTime")
    since = times.parse(last or cronjob["metadata"]["creationTimestamp"])
    limit = cronjob["spec"].get("startingDeadlineSeconds")
    if deadline and limit is not None:
        # Thirty years are as good as any longer time, and no datetime is too early for them.
        since = max(since, now - timedelta(seconds=min(int(limit), 10**9)))
    first = schedule.next(since)
    second = schedule.next(first) if first is not None else None
    if first is not None and now < first:
        return Due(since)
    if first is not None and second is not None and now < second:
        return Due(since, first)
    if first is None or second is None:
        raise ValueError("time difference between two schedules is less than 1 second")
    interval = second - first
    missed = int((now - first) / interval) + 1
    # For an irregular schedule the estimate may be one interval off: look from one before.
    latest, found = None, schedule.next(first + (missed - 2) * interval)
    while found is not None and found <= now:
        latest, found = found, schedule.next(found)
    return Due(since, latest, missed)


def next_in(cronjob: Object, schedule: cron.Schedule, now: datetime) -> float | None:
    """Return the seconds until the CronJob is to be looked at again; None for never."""
    try:
        due = compute_due(cronjob, schedule, now, deadline=False)
    except ValueError:
        origin = now  # it may come after now all the same
    else:
        origin = due.latest or (now if due.missed else due.since)
    found = schedule.next(origin)
    return max(0.0, (found - now).total_seconds()) + _PADDING if found is not None else None


def is_too_late(cronjob: Object, scheduled: datetime, now: datetime) -> bool:
    """Whether the run's startingDeadlineSeconds are over."""
    limit = cronjob["spec"].get("startingDeadlineSeconds")
    return limit is not None and (now - scheduled).total_seconds() > int(limit)


def job_name(cronjob: Object, scheduled: datetime) -> str:
    """The run's name: the same run never gets two Jobs."""
    return f"{objects.name(cronjob)}-{int(scheduled.timestamp()) // 60}"


def render_job(cronjob: Object, scheduled: datetime) -> Object:
    """Return the Job of one run."""
    template = cronjob["spec"].get("jobTemplate") or {}
    metadata = template.get("metadata") or {}
    local = scheduled.astimezone(cron.load_zone(cronjob["spec"].get("timeZone") or ""))
    stamp = local.isoformat(timespec="seconds") if local.utcoffset() else times.rfc3339(local)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cronjob, scheduled),
            "namespace": objects.namespace(cronjob),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: stamp},
            "ownerReferences": [owner_reference(cronjob, CRONJOBS)],
        },
        "spec": deepcopy(template.get("spec") or {}),
    }


def job_reference(job: Object) -> Object:
    """What status.active says of a Job."""
    return {
        "kind": "Job",
        "apiVersion": "batch/v1",
        "namespace": objects.namespace(job),
        "name": objects.name(job),
        "uid": objects.uid(job),
        "resourceVersion": objects.resource_version(job),
    }


def without(active: Iterable[Mapping[str, Any]], uid: str) -> list[Object]:
    """Return the references except the one to `uid`."""
    return [dict(each) for each in active if each.get("uid") != uid]


def last_success(known: str | None, jobs: Iterable[Object]) -> str | None:
    """Return the latest completion of a run that succeeded; never one before `known`."""
    latest = known
    for job in jobs:
        end, at = finished(job), (job.get("status") or {}).get("completionTime")
        if end is not None and end["type"] == "Complete" and at:
            latest = at if latest is None or times.parse(at) > times.parse(latest) else latest
    return latest


def plan_history(cronjob: Object, jobs: Sequence[Object]) -> list[Object]:
    """Return the ended Jobs beyond the history limits, oldest first; a limit that is not set keeps all."""
    doomed: list[Object] = []
    kept = [job for job in jobs if not objects.is_deleting(job)]
    for kind, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        limit = cronjob["spec"].get(field)
        if limit is None:
            continue
        ended = sorted((job for job in kept if (finished(job) or {}).get("type") == kind), key=_started)
        doomed += ended[: max(0, len(ended) - int(limit))]
    return doomed


def _started(job: Object) -> tuple[bool, str, str]:
    at = (job.get("status") or {}).get("startTime")
    return (at is None, at or "", objects.name(job))
