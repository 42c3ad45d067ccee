"""TTL after finished: a Job that has ended is deleted when its ttlSecondsAfterFinished is over, its pods first
(KEP-592, pkg/controller/ttlafterfinished)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import JOBS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, times
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers import observed
from controlplane.controllers.context import Context
from controlplane.controllers.job_plan import finished

Object = dict[str, Any]

NAME = "ttl-after-finished-controller"


def expire_in(job: Object, now: datetime) -> float | None:
    """Return the seconds until a finished Job may be deleted, less than 0 when it is late; None for never."""
    end: Mapping[str, Any] | None = finished(job)
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if objects.is_deleting(job) or end is None or ttl is None or not end.get("lastTransitionTime"):
        return None
    return int(ttl) - (now - times.parse(end["lastTransitionTime"])).total_seconds()


class TtlAfterFinished:
    """Reconciles Jobs by namespace/name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        informer = context.informer(JOBS)
        self._jobs = informer.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        informer.add_handler(self._ended, lambda _, job: self._ended(job))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Delete the Job if its time has come; otherwise come back then."""
        cached = self._jobs.get_by_key(key)
        left = expire_in(cached, self._clock.now()) if cached is not None else None
        if cached is None or left is None or left > 0:
            return left
        name, namespace = objects.name(cached), objects.namespace(cached)
        try:
            # Its time may have been changed since: what cannot be taken back asks the server first.
            job = await self._client.get(JOBS, name, namespace)
            left = expire_in(job, self._clock.now())
            if left is None or left > 0:
                return left
            await self._client.delete(JOBS, name, namespace, uid=objects.uid(job), propagation="Foreground")
            observed.job_expired(-left)
        except ApiError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise
        return None

    def _ended(self, job: Object) -> None:
        if finished(job) is not None and job["spec"].get("ttlSecondsAfterFinished") is not None:
            self._queue.add(objects.key(job))
