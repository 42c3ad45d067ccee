"""Job: run pods until enough of them have succeeded (pkg/controller/job). The rules are in job_plan.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from apimachinery.api.catalogue import JOBS, PODS
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers import conditions
from controlplane.controllers.claim import apply_claim, plan_claim
from controlplane.controllers.context import BY_CONTROLLER, Context
from controlplane.controllers.job_plan import (
    TRACKING,
    Counts,
    Finish,
    JobPlan,
    count,
    expire_in,
    finished,
    format_indexes,
    is_indexed,
    judge,
    plan_pods,
    render_job_pod,
    selector_of,
)
from controlplane.controllers.pod_control import PodControl, all_of, is_namespace_terminating

Object = dict[str, Any]

NAME = "job-controller"


class JobController:
    """Reconciles Jobs."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        jobs, all_pods = context.informer(JOBS), context.informer(PODS)
        self._jobs, self._pods = jobs.lister, all_pods.lister
        self._recorder = context.recorder(NAME)
        self._control = PodControl(context.client, self._recorder)
        self._expected = Expectations(context.clock)
        # The version that our last status write made, by key.
        self._written: dict[str, int] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=5)
        jobs.add_handler(self._enqueue, on_delete=self._enqueue)
        all_pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Take the next step of one Job: count, judge, create or delete, write status, let counted pods go."""
        job = self._jobs.get_by_key(key)
        if job is None:
            self._expected.forget(key)
            self._written.pop(key, None)
            return None
        owned = await self._claim(job)
        if finished(job) is not None or objects.is_deleting(job):
            await self._untrack(owned)
            return await self._expire(job)
        if not self._expected.satisfied(key) or self._is_stale(key, job):
            return None  # the event that is awaited brings us back
        job, now = await self._settle(job, owned), self._clock.now()
        counts = count(job, owned)
        finish = judge(job, counts, now)
        plan = JobPlan(delete=tuple(counts.active)) if finish is not None else plan_pods(job, counts, now)
        count_deleted = finish is not None and finish.kind == "Failed"
        failure = await self._apply(key, job, plan, count_deleted=count_deleted)
        leaving = bool(plan.delete) or counts.terminating > 0
        job = await self._write_status(job, counts, finish if not leaving else None, finish, len(plan.create))
        await self._untrack([*counts.new_succeeded.values(), *counts.new_failed.values()])
        if failure is not None:
            raise failure
        return self._next_look(job, plan)

    async def _claim(self, job: Object) -> list[Object]:
        selector = label_selectors.from_label_selector(selector_of(job))
        candidates = self._pods.by_index(BY_CONTROLLER, objects.uid(job))
        space = objects.namespace(job)
        candidates += [
            pod
            for pod in self._pods.by_index(BY_CONTROLLER, "")
            if objects.namespace(pod) == space and pods.is_active(pod)
        ]
        return await apply_claim(self._client, job, JOBS, PODS, plan_claim(job, selector, candidates))

    async def _settle(self, job: Object, owned: Sequence[Object]) -> Object:
        """Move uncounted uids whose pods have been let go into the sums; write startTime and a change of suspension."""
        status = dict(job.get("status") or {})
        tracked = {objects.uid(pod) for pod in owned if TRACKING in (pod["metadata"].get("finalizers") or ())}
        uncounted = status.get("uncountedTerminatedPods") or {}
        left: dict[str, list[str]] = {}
        for kind in ("succeeded", "failed"):
            uids = uncounted.get(kind) or ()
            gone = [uid for uid in uids if uid not in tracked]
            if gone and not (kind == "succeeded" and is_indexed(job)):
                status[kind] = int(status.get(kind) or 0) + len(gone)
            if len(gone) < len(uids):
                left[kind] = [uid for uid in uids if uid in tracked]
        status["uncountedTerminatedPods"] = left
        stamp, found = times.rfc3339(self._clock.now()), list(status.get("conditions") or [])
        suspended = conditions.find(found, "Suspended")
        if job["spec"].get("suspend"):
            status.pop("startTime", None)
            if suspended is None or suspended.get("status") != "True":
                found = conditions.put(found, "Suspended", "True", "JobSuspended", "Job suspended", stamp)
                self._recorder.event(job, "Normal", "Suspended", "Job suspended")
        else:
            status.setdefault("startTime", stamp)
            if suspended is not None and suspended.get("status") == "True":
                found = conditions.put(found, "Suspended", "False", "JobResumed", "Job resumed", stamp)
                status["startTime"] = stamp
                self._recorder.event(job, "Normal", "Resumed", "Job resumed")
        if found:
            status["conditions"] = found
        if status == (job.get("status") or {}):
            return job
        return await self._update(job, status)

    async def _apply(self, key: str, job: Object, plan: JobPlan, *, count_deleted: bool) -> Exception | None:
        """Create and delete. count_deleted: deleted pods keep their finalizer, so that they count as failed."""
        if plan.create:
            self._expected.expect_creations(key, len(plan.create))
        elif plan.delete:
            self._expected.expect_deletions(key, {objects.uid(pod) for pod in plan.delete})

        async def create(index: int | None) -> None:
            try:
                await self._control.create(job, render_job_pod(job, index))
            except (ApiError, ApiUnreachable) as error:
                self._expected.creation_observed(key)
                if isinstance(error, ApiError) and is_namespace_terminating(error):
                    return
                raise

        async def delete(pod: Object) -> None:
            try:
                gone = not await self._control.delete(job, pod)
            except (ApiError, ApiUnreachable):
                self._expected.deletion_observed(key, objects.uid(pod))
                raise
            if gone:
                self._expected.deletion_observed(key, objects.uid(pod))
            if not count_deleted:
                await self._untrack([pod])

        return await all_of([*(create(index) for index in plan.create), *(delete(pod) for pod in plan.delete)])

    async def _write_status(
        self, job: Object, counts: Counts, ended: Finish | None, ending: Finish | None, created: int
    ) -> Object:
        """Write the counts; `ending` announces an end whose pods are still leaving, `ended` is final."""
        status = dict(job.get("status") or {})
        uncounted = {kind: list(uids) for kind, uids in (status.get("uncountedTerminatedPods") or {}).items()}
        for kind, new in (("succeeded", counts.new_succeeded), ("failed", counts.new_failed)):
            if new:
                uncounted[kind] = [*uncounted.get(kind, ()), *new]
        status["uncountedTerminatedPods"] = uncounted
        active = 0 if ending is not None else len(counts.active) + created
        numbers = {"active": active, "terminating": counts.terminating, "ready": counts.ready if not ending else 0}
        status.update(numbers)
        if not status["active"]:
            status.pop("active")
        if is_indexed(job):
            status["completedIndexes"] = format_indexes(counts.succeeded_indexes)
            status["succeeded"] = len(counts.succeeded_indexes)
        stamp, found = times.rfc3339(self._clock.now()), list(status.get("conditions") or [])
        if ending is not None:
            interim = "SuccessCriteriaMet" if ending.kind == "Complete" else "FailureTarget"
            found = conditions.put(found, interim, "True", ending.reason, ending.message, stamp)
        if ended is not None:
            found = conditions.put(found, ended.kind, "True", ended.reason, ended.message, stamp)
            # The end is final, so nothing may stay uncounted.
            status["succeeded"], status["failed"] = counts.succeeded, counts.failed
            status["uncountedTerminatedPods"] = {}
            if ended.kind == "Complete":
                status["completionTime"] = stamp
                self._recorder.event(job, "Normal", "Completed", "Job completed")
            else:
                self._recorder.event(job, "Warning", ended.reason, ended.message)
        for key in ("succeeded", "failed"):
            if not status.get(key):
                status.pop(key, None)
        if found:
            status["conditions"] = [{"lastProbeTime": c.get("lastProbeTime") or stamp, **c} for c in found]
        if status == (job.get("status") or {}):
            return job
        return await self._update(job, status)

    async def _update(self, job: Object, status: Object) -> Object:
        written = await self._client.update(JOBS, {**job, "status": status}, "status")
        self._written[objects.key(job)] = int(objects.resource_version(written))
        return written

    def _is_stale(self, key: str, job: Object) -> bool:
        """Tell whether the lister is behind our own write.

        A pod that is counted in the written status may be shown without its finalizer before the Job is shown with the
        count; created for then would be one pod too many. Versions of one object may be compared (KEP-5504).
        """
        return int(objects.resource_version(job)) < self._written.get(key, 0)

    async def _untrack(self, counted: Iterable[Object]) -> None:
        """Take our finalizer off pods that are counted (or need not be)."""

        async def one(pod: Object) -> None:
            if TRACKING not in (pod["metadata"].get("finalizers") or ()):
                return
            body = {"metadata": {"uid": objects.uid(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
            try:
                await self._client.patch(PODS, objects.name(pod), body, objects.namespace(pod), kind="strategic")
            except ApiError as error:
                if not is_not_found(error):
                    raise

        await asyncio.gather(*(one(pod) for pod in counted))

    async def _expire(self, job: Object) -> float | None:
        """Delete a finished Job whose time to live is over."""
        left = None if objects.is_deleting(job) else expire_in(job, self._clock.now())
        if left is None or left > 0:
            return left
        try:
            await self._client.delete(
                JOBS, objects.name(job), objects.namespace(job), uid=objects.uid(job), propagation="Foreground"
            )
        except ApiError as error:
            if not is_not_found(error):
                raise
        return None

    def _next_look(self, job: Object, plan: JobPlan) -> float | None:
        waits = [plan.wait] if plan.wait else []
        deadline, started = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
        if deadline is not None and started and finished(job) is None:
            passed = (self._clock.now() - times.parse(started)).total_seconds()
            waits.append(max(0.1, int(deadline) - passed))
        return min(waits) if waits else None

    def _enqueue(self, job: Object) -> None:
        self._queue.add(objects.key(job))

    def _pod_added(self, pod: Object) -> None:
        key = controller_key(pod, JOBS)
        if key is not None:
            self._expected.creation_observed(key)
            self._queue.add(key)

    def _pod_updated(self, old: Object, new: Object) -> None:
        key = controller_key(new, JOBS)
        if key is None:
            return
        if objects.is_deleting(new) and not objects.is_deleting(old):
            self._expected.deletion_observed(key, objects.uid(new))
        self._queue.add(key)

    def _pod_deleted(self, pod: Object) -> None:
        key = controller_key(pod, JOBS)
        if key is not None:
            self._expected.deletion_observed(key, objects.uid(pod))
            self._queue.add(key)
