"""CronJob: a Job at every scheduled time (pkg/controller/cronjob, the second one). The rules are in cronjob_plan.py.

A run's Job is named after its time, so that no run has two Jobs, whatever was lost in between.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import CRONJOBS, JOBS
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key, is_controlled_by
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import cron, objects, times
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found
from controlplane.controllers import observed
from controlplane.controllers.context import BY_CONTROLLER, Context, index_by_controller
from controlplane.controllers.cronjob_plan import (
    TOO_MANY,
    compute_due,
    is_too_late,
    job_name,
    job_reference,
    last_success,
    next_in,
    plan_history,
    render_job,
    schedule_of,
    without,
)
from controlplane.controllers.job_plan import finished
from controlplane.controllers.pod_control import is_namespace_terminating

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME = "cronjob-controller"


class CronJobController:
    """Reconciles CronJobs."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        cronjobs, jobs = context.informer(CRONJOBS), context.informer(JOBS)
        index_by_controller(jobs)
        self._cronjobs, self._jobs = cronjobs.lister, jobs.lister
        self._recorder = context.recorder(NAME)
        # The version that our last status write made, by key.
        self._written: dict[str, int] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        cronjobs.add_handler(self._enqueue, self._changed, self._enqueue)
        jobs.add_handler(self._job_changed, on_delete=self._job_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Note what ended, start what is due, clean up, write status."""
        cronjob = self._cronjobs.get_by_key(key)
        if cronjob is None:
            self._written.pop(key, None)
            return None
        if int(objects.resource_version(cronjob)) < self._written.get(key, 0):
            return None  # the lister is behind our own write: its event brings us back
        jobs = self._jobs.by_index(BY_CONTROLLER, objects.uid(cronjob))
        # Changed as we go, and written once.
        status = {**(cronjob.get("status") or {})}
        failure = None
        try:
            await self._note_ended(cronjob, status, jobs)
            await self._start(cronjob, status)
        except ApiError as error:
            failure = error
        for job in plan_history(cronjob, jobs):
            await self._delete(cronjob, status, job)
        await self._write(cronjob, status)
        if failure is not None:
            raise failure
        self._arm(key, {**cronjob, "status": status})
        return None

    async def _note_ended(self, cronjob: Object, status: Object, jobs: Sequence[Object]) -> None:
        active = list(status.get("active") or ())
        known = {each.get("uid") for each in active}
        for job in jobs:
            end, uid = finished(job), objects.uid(job)
            if end is None and uid not in known:
                live = await self._client.get(CRONJOBS, objects.name(cronjob), objects.namespace(cronjob))
                if uid not in {each.get("uid") for each in (live.get("status") or {}).get("active") or ()}:
                    message = f"Saw a job that the controller did not create or forgot: {objects.name(job)}"
                    self._recorder.event(cronjob, "Warning", "UnexpectedJob", message)
            elif end is not None and uid in known:
                active = without(active, uid)
                message = f"Saw completed job: {objects.name(job)}, condition: {end['type']}"
                self._recorder.event(cronjob, "Normal", "SawCompletedJob", message)
        there = {objects.uid(job) for job in jobs}
        for each in [each for each in active if each.get("uid") not in there]:
            # The lister may be behind: only the API itself can tell that a Job is gone.
            if await self._live(each) is None:
                self._recorder.event(cronjob, "Normal", "MissingJob", f"Active job went missing: {each['name']}")
                active = without(active, each["uid"])
        _set(status, "active", active)
        _set(status, "lastSuccessfulTime", last_success(status.get("lastSuccessfulTime"), jobs))

    async def _live(self, reference: Object) -> Object | None:
        try:
            job = await self._client.get(JOBS, reference["name"], reference["namespace"])
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return job if objects.uid(job) == reference.get("uid") else None

    async def _start(self, cronjob: Object, status: Object) -> None:
        """Create the Job of the last time that is due."""
        now, spec = self._clock.now(), cronjob["spec"]
        scheduled = None if objects.is_deleting(cronjob) else self._scheduled(cronjob, now)
        if scheduled is None:
            return
        active, last = status.get("active") or (), status.get("lastScheduleTime")
        if job_name(cronjob, scheduled) in {each.get("name") for each in active}:
            return
        if last and times.parse(last) == scheduled:
            return
        if spec.get("concurrencyPolicy") == "Forbid" and active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._recorder.event(cronjob, "Normal", "JobAlreadyActive", message)
            return
        if spec.get("concurrencyPolicy") == "Replace":
            for each in active:
                job = await self._live(each)
                if job is not None and not await self._delete(cronjob, status, job):
                    raise ApiError(500, "InternalError", f"could not replace job {objects.key(job)}")
        job = await self._create(cronjob, scheduled)
        if job is not None:
            _set(status, "active", [*without(status.get("active") or (), objects.uid(job)), job_reference(job)])
            status["lastScheduleTime"] = times.rfc3339(scheduled)

    def _scheduled(self, cronjob: Object, now: datetime) -> datetime | None:
        """Return the time to run for, or None; says what is wrong with the schedule."""
        spec, say = cronjob["spec"], self._recorder.event
        text = spec.get("schedule")
        try:
            cron.load_zone(spec.get("timeZone") or "")
        except ValueError as error:
            say(cronjob, "Warning", "UnknownTimeZone", f'invalid timeZone: "{spec.get("timeZone")}": {error}')
            return None
        if spec.get("suspend"):
            return None
        try:
            schedule = schedule_of(cronjob)
        except ValueError as error:
            say(cronjob, "Warning", "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}')
            return None
        try:
            due = compute_due(cronjob, schedule, now)
        except (ValueError, OverflowError) as error:
            say(cronjob, "Warning", "InvalidSchedule", f"invalid schedule: {text} : {error}")
            return None
        if due.latest is None:
            return None
        if due.missed > TOO_MANY:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            say(cronjob, "Warning", "TooManyMissedTimes", message)
        if is_too_late(cronjob, due.latest, now):
            missed = due.latest.strftime("%a, %d %b %Y %H:%M:%S +0000")
            say(cronjob, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {missed}")
            return None
        return due.latest

    async def _create(self, cronjob: Object, scheduled: datetime) -> Object | None:
        """Return the run's Job, made now or by a former try of ours; None when the name is somebody else's."""
        wanted = render_job(cronjob, scheduled)
        try:
            created = await self._client.create(JOBS, wanted)
        except ApiError as error:
            if is_already_exists(error):
                found = await self._client.get(JOBS, objects.name(wanted), objects.namespace(wanted))
                return found if is_controlled_by(found, cronjob) else None
            if not is_namespace_terminating(error):
                self._recorder.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        observed.cronjob_started((times.parse(created["metadata"]["creationTimestamp"]) - scheduled).total_seconds())
        self._recorder.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {objects.name(created)}")
        return created

    async def _delete(self, cronjob: Object, status: Object, job: Object) -> bool:
        """Delete a Job and forget it; tells whether that succeeded."""
        try:
            await self._client.delete(
                JOBS, objects.name(job), objects.namespace(job), uid=objects.uid(job), propagation="Background"
            )
        except ApiError as error:
            if not is_not_found(error):
                self._recorder.event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error}")
                return False
        _set(status, "active", without(status.get("active") or (), objects.uid(job)))
        self._recorder.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {objects.name(job)}")
        return True

    async def _write(self, cronjob: Object, status: Object) -> None:
        if status == (cronjob.get("status") or {}):
            return
        try:
            written = await self._client.update(CRONJOBS, {**cronjob, "status": status}, "status")
        except ApiError as error:
            if is_not_found(error):
                return
            raise
        self._written[objects.key(cronjob)] = int(objects.resource_version(written))

    def _arm(self, key: str, cronjob: Object) -> None:
        """Look at the CronJob again when its next time comes, unless that will happen anyhow."""
        if objects.is_deleting(cronjob) or cronjob["spec"].get("suspend"):
            return
        try:
            seconds = next_in(cronjob, schedule_of(cronjob), self._clock.now())
        except (ValueError, OverflowError):
            return  # said already; a change of the spec brings us back
        if seconds is not None:
            self._queue.add_after(key, seconds)

    def _enqueue(self, cronjob: Object) -> None:
        self._queue.add(objects.key(cronjob))

    def _changed(self, old: Object, new: Object) -> None:
        before, after = old.get("spec") or {}, new.get("spec") or {}
        fields = ("schedule", "timeZone")
        if any(before.get(field) != after.get(field) for field in fields) and _is_sound(new):
            # Not now: what the new schedule "missed" since the last run was never due.
            self._arm(objects.key(new), new)
        else:
            self._queue.add(objects.key(new))

    def _job_changed(self, job: Object) -> None:
        key = controller_key(job, CRONJOBS)
        if key is not None:
            self._queue.add(key)


def _is_sound(cronjob: Object) -> bool:
    try:
        schedule_of(cronjob)
    except ValueError:
        return False
    return True


def _set(status: Object, field: str, value: Any) -> None:
    """Absent and empty are the same."""
    if value:
        status[field] = value
    else:
        status.pop(field, None)
