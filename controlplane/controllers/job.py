"""Job: run pods until enough of them have succeeded (pkg/controller/job).

The rules are in job_plan.py, job_policies.py, job_indexes.py and job_backoff.py, what is written in job_status.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from apimachinery.api.catalogue import JOBS, PODS
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key, controller_of, is_controlled_by
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers import observed
from controlplane.controllers.claim import adopters, apply_claim, is_offered, plan_claim
from controlplane.controllers.context import BY_CONTROLLER, Context, claimable
from controlplane.controllers.job_backoff import Backoff, after
from controlplane.controllers.job_plan import (
    TRACKING,
    Counts,
    JobPlan,
    count,
    finished,
    is_foreign,
    is_tracked,
    judge,
    plan_pods,
    selector_of,
)
from controlplane.controllers.job_pod import render_job_pod
from controlplane.controllers.job_status import conclude, news, render_status
from controlplane.controllers.pod_control import DOUBT_PERIOD, PodControl, all_of, is_namespace_terminating, slow_start

Object = dict[str, Any]

NAME = "job-controller"
ORPHANS = f"{NAME}: orphan pods"
_BY_JOB = "job"


class JobController:
    """Reconciles Jobs."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        jobs, all_pods = context.informer(JOBS), context.informer(PODS)
        self._jobs, self._pods = jobs.lister, all_pods.lister
        self._pods.add_index(_BY_JOB, lambda pod: (key,) if (key := controller_key(pod, JOBS)) else ())
        self._recorder = context.recorder(NAME)
        self._control = PodControl(context.client, self._recorder)
        self._expected = Expectations(context.clock)
        # By key: the version that our last status write made, and the failures that the next pod waits for.
        self._written: dict[str, int] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        self._orphans = WorkQueue(context.clock)
        self.orphan_loop = Controller(ORPHANS, self.free, self._orphans)
        jobs.add_handler(self._enqueue, on_delete=self._enqueue)
        all_pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.run())
            group.create_task(self.orphan_loop.run())

    async def reconcile(self, key: str) -> float | None:
        """Take the next step of one Job: count, judge, create or delete, write status, let counted pods go."""
        job = self._jobs.get_by_key(key)
        await self._let_go_of_strangers(key, job)
        if job is None:
            self._forget(key)
            return None
        if finished(job) is not None or is_foreign(job):
            self._forget(key)
            await self._untrack(self._pods.by_index(BY_CONTROLLER, objects.uid(job)))
            return None
        with observed.JobSync(job) as sync:
            return await self._step(key, job, sync)

    async def _step(self, key: str, job: Object, sync: observed.JobSync) -> float | None:
        """Of a Job that has not ended."""
        owned, deleting = await self._claim(job), objects.is_deleting(job)
        if not (deleting or self._expected.satisfied(key)) or self._is_stale(key, job):
            return None  # the event that is awaited brings us back
        if not await self._control.certain(job, owned):
            return DOUBT_PERIOD
        now, counts = self._clock.now(), count(job, owned)
        backoff = after(
            self._backoffs.get(key, Backoff()),
            [*counts.new_succeeded.values(), *counts.other_succeeded],
            [*counts.new_failed.values(), *counts.other_failed],
        )
        finish = judge(job, counts, now)
        plan = plan_pods(job, counts, backoff, now) if finish is None else JobPlan(delete=tuple(counts.active))
        # Of a failed Job, what is deleted counts as failed and keeps its finalizer until it is counted.
        keep = finish is not None and finish.kind == "Failed"
        created, failure = await self._apply(key, job, plan, counts, keep=keep)
        end = finish if failure is None else None
        if end is not None or deleting:
            conclude(job, counts, owned, end)
        deleted = len(plan.delete) if failure is None else 0
        sync.applied(created, deleted)
        status = render_status(
            job, counts, owned, end, times.rfc3339(now),
            active=len(counts.active) + created - deleted, terminating=len(counts.terminating) + deleted,
            ready=counts.ready - sum(pods.is_ready(pod) for pod in plan.delete if deleted),
        )  # fmt: skip
        job = await self._write(key, job, status)
        self._backoffs[key] = backoff
        await self._untrack(counts.release)
        if failure is not None:
            raise failure
        return self._next_look(job, plan)

    def _forget(self, key: str) -> None:
        self._expected.forget(key)
        self._written.pop(key, None)
        self._backoffs.pop(key, None)

    async def _let_go_of_strangers(self, key: str, job: Object | None) -> None:
        """Take our finalizer off pods whose Job is gone, or was made anew under its name."""
        strangers = [
            pod
            for pod in self._pods.by_index(_BY_JOB, key)
            if is_tracked(pod) and (job is None or not is_controlled_by(pod, job))
        ]
        if not strangers:
            return
        try:  # our Jobs may be older than our Pods
            live: Object | None = await self._client.get(JOBS, key.partition("/")[2], objects.namespace(strangers[0]))
        except ApiError as error:
            if not is_not_found(error):
                raise
            live = None
        await self._untrack(pod for pod in strangers if live is None or not is_controlled_by(pod, live))

    async def free(self, key: str) -> float | None:
        """Take our finalizer off a pod that lost its Job and that no other Job adopts: nobody would ever count it."""
        pod = self._pods.get_by_key(key)
        if pod is None or controller_of(pod) is not None:
            return None
        offered = [] if objects.is_deleting(pod) else adopters(self._jobs, pod, _selector)
        if not any(finished(job) is None and not objects.is_deleting(job) and not is_foreign(job) for job in offered):
            await self._untrack([pod])
        return None

    async def _claim(self, job: Object) -> list[Object]:
        if objects.is_deleting(job):
            return self._pods.by_index(BY_CONTROLLER, objects.uid(job))  # whatever their labels, they may go
        selector = _selector(job)
        claim = plan_claim(job, selector, claimable(self._pods, job, selector))  # what has ended counts as well
        return await apply_claim(self._client, job, JOBS, PODS, claim, TRACKING)

    async def _apply(
        self, key: str, job: Object, plan: JobPlan, counts: Counts, *, keep: bool
    ) -> tuple[int, Exception | None]:
        """Create and delete; returns the number of created pods and the first failure. keep: the finalizers stay."""
        if plan.create:
            self._expected.expect_creations(key, len(plan.create))
            indexes = iter(plan.create)

            async def create() -> None:
                index = next(indexes)
                failed = counts.replaced.get(index) if index is not None else None
                await self._control.create(job, render_job_pod(job, index, failed))

            created, failure = await slow_start(len(plan.create), create)
            for _ in range(len(plan.create) - created):
                self._expected.creation_observed(key)
            if isinstance(failure, ApiError) and is_namespace_terminating(failure):
                failure = None
            return created, failure
        if plan.delete:
            self._expected.expect_deletions(key, {objects.uid(pod) for pod in plan.delete})

        async def delete(pod: Object) -> None:
            try:
                if not keep:
                    await self._untrack([pod])
                gone = not await self._control.delete(job, pod)
            except (ApiError, ApiUnreachable):
                self._expected.deletion_observed(key, objects.uid(pod))
                raise
            if gone:
                self._expected.deletion_observed(key, objects.uid(pod))

        return 0, await all_of([delete(pod) for pod in plan.delete])

    async def _write(self, key: str, job: Object, status: Object) -> Object:
        if status == (job.get("status") or {}):
            return job
        written = await self._client.update(JOBS, {**job, "status": status}, "status")
        self._written[key] = int(objects.resource_version(written))
        observed.job_written(job, status)
        for kind, reason, message in news(job, status):
            self._recorder.event(job, kind, reason, message)
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
            if not is_tracked(pod):
                return
            body = {"metadata": {"uid": objects.uid(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
            try:
                await self._client.patch(PODS, objects.name(pod), body, objects.namespace(pod), kind="strategic")
            except ApiError as error:
                if not is_not_found(error):
                    raise

        await asyncio.gather(*(one(pod) for pod in counted))

    def _next_look(self, job: Object, plan: JobPlan) -> float | None:
        waits = [plan.wait] if plan.wait else []
        deadline, started = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
        if deadline is not None and started and not job["spec"].get("suspend"):
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
        elif controller_of(pod) is None:
            self._offer_orphan(pod)

    def _pod_updated(self, old: Object, new: Object) -> None:
        for key in {controller_key(old, JOBS), controller_key(new, JOBS)} - {None}:
            if objects.is_deleting(new) and not objects.is_deleting(old):
                self._expected.deletion_observed(str(key), objects.uid(new))
            self._queue.add(str(key))
        if is_offered(old, new):
            self._offer_orphan(new)

    def _pod_deleted(self, pod: Object) -> None:
        key = controller_key(pod, JOBS)
        if key is not None:
            self._expected.deletion_observed(key, objects.uid(pod))
            self._queue.add(key)

    def _offer_orphan(self, pod: Object) -> None:
        """Wake every Job of the namespace that would adopt the pod."""
        for job in adopters(self._jobs, pod, _selector):
            self._enqueue(job)
        if is_tracked(pod):
            self._orphans.add(objects.key(pod))


def _selector(job: Object) -> label_selectors.Selector:
    return label_selectors.from_label_selector(selector_of(job))
