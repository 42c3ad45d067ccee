"""One worker per pod: its latest wish wins, and a pod goes one way only: syncing → terminating → terminated. What comes
back meanwhile starts anew after that.

Upstream's pkg/kubelet/pod_workers.go. What belongs to one pod is done by one task, so nothing about a pod is locked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from apimachinery.kit.clock import Clock
from nodeagent.cri.errors import RuntimeCallError, RuntimeUnreachable
from nodeagent.kubelet import observed, pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.kill import KillFailed
from nodeagent.kubelet.starting import RETRY
from nodeagent.kubelet.status.compute import Verdict
from nodeagent.kubelet.sync import PodSyncer

log = logging.getLogger(__name__)

_TERMINATING_RETRY = 1.0
# How long a pod that was evicted is waited for (podCleanupTimeout).
_CLEAN_UP = 30.0

Admit = Callable[[Pod], Awaitable[Verdict | None]]
"""Whether the node takes a pod: None, or why not. Asked once, before anything is done for the pod."""


class Phase(Enum):
    """Where a pod is on its way."""

    SYNCING = "syncing"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    FINISHED = "finished"


@dataclass(slots=True)
class _Worker:
    uid: str
    pod: Pod | None
    full_name: str
    seen: float = 0.0  # by the monotonic clock
    phase: Phase = Phase.SYNCING
    end: bool = False
    removed: bool = False
    back: Pod | None = None  # removed, and there again before it was gone: it starts anew then
    grace: int | None = None
    forced: int | None = None
    given: int | None = None  # the grace of the end that is under way; None for what a container says
    admitted: bool = False
    synced: bool = False
    cleaned: bool = False  # of its containers too: it is being deleted
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Event | None = None  # of a static pod that has its name: set when the next one may have it
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class PodWorkers:
    """All pods of the node. finished: called with the pod when it is being deleted and all of it is gone."""

    def __init__(
        self,
        syncer: PodSyncer,
        recorder: Recorder,
        clock: Clock,
        finished: Callable[[Pod], None],
    ) -> None:
        self._syncer, self._recorder, self._clock, self._finished = syncer, recorder, clock, finished
        self.admit: Admit | None = None
        self._workers: dict[str, _Worker] = {}
        self._names: dict[str, asyncio.Event] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._workers

    def phase(self, uid: str) -> Phase | None:
        worker = self._workers.get(uid)
        return worker.phase if worker else None

    def ended(self, uid: str) -> bool:
        """Whether nothing of the pod runs any more, and nothing will."""
        return self.phase(uid) in (Phase.TERMINATED, Phase.FINISHED)

    def settled(self, uid: str) -> bool:
        """Whether nothing of the pod runs any more, so that what is left of it may be collected."""
        worker = self._workers.get(uid)
        return worker is None or worker.phase is Phase.FINISHED

    def is_ending(self, full_name: str) -> bool:
        """Whether the static pod that has this name is being ended, and something of it may still run."""
        # Whoever waits for the name is not it.
        holders = (w for w in self._workers.values() if w.turn is not None and w.full_name == full_name)
        return any(w.end and w.phase in (Phase.SYNCING, Phase.TERMINATING) for w in holders)

    def update(self, pod: Pod) -> None:
        """The pod as its source has it now. It may ask for the pod's end."""
        uid = pods.uid(pod)
        worker = self._workers.get(uid)
        if worker is None:
            worker = _Worker(uid, pod, pods.full_name(pod), self._clock.monotonic())
            self._workers[uid] = worker
            observed.pod_seen(len(pods.regular_containers(pod)))
            if pods.is_terminal(pod):
                worker.end = True
            self._read_deletion(worker, pod)
            worker.task = asyncio.create_task(self._run(worker), name=f"pod {pods.describe(pod)}")
            return
        if worker.removed:
            # A manifest that was taken away and put back is the same pod (upstream's restartRequested).
            worker.back = pod
            return
        before, worker.pod = worker.pod, pod
        self._read_deletion(worker, pod)
        if before is None or not pods.asks_the_same(before, pod):
            worker.wake.set()

    def active(self) -> list[Pod]:
        """The pods that were admitted and of which something may run, but for those that their source has no more: who
        deletes a pod by force has its place at once, as upstream."""
        live = (Phase.SYNCING, Phase.TERMINATING)
        here = (w for w in self._workers.values() if not w.removed and w.phase in live)
        return [w.pod for w in here if w.pod is not None and w.admitted]

    async def end(self, uid: str, verdict: Verdict, grace: int | None, *, cleaned: bool = False) -> bool:
        """End a pod for good: Failed with this verdict. grace: seconds instead of the pod's own.

        Returns once nothing of it runs (cleaned: and its volumes and cgroup are gone), False if that takes too long.
        """
        worker = self._workers.get(uid)
        if worker is None:
            return True
        self._syncer.refuse(uid, verdict)
        worker.end = True
        if grace is not None:
            worker.forced = grace if worker.forced is None else min(grace, worker.forced)
        _hasten(worker)
        worker.wake.set()
        # Upstream's killPodNow: half as much again as the grace, and ten seconds at least.
        if grace is None:
            grace = pods.grace_period(worker.pod) if worker.pod is not None else 0
        patience = max(10.0, 1.5 * grace)
        try:
            async with asyncio.timeout(patience):
                await worker.stopped.wait()
            if cleaned:
                async with asyncio.timeout(_CLEAN_UP):
                    await worker.finished.wait()
        except TimeoutError:
            log.warning("pod %s was not ended in time", worker.full_name)
            return False
        return True

    def remove(self, uid: str) -> None:
        """The pod's source has it no more: end it if it runs, and forget it."""
        worker = self._workers.get(uid)
        if worker is None:
            return
        worker.removed = worker.end = True
        worker.back = None
        worker.wake.set()
        _hasten(worker)

    def kill_unknown(self, uid: str) -> None:
        """The runtime has something of a pod that no source knows: end it and clean up."""
        if uid not in self._workers:
            worker = _Worker(uid, None, uid, end=True, removed=True)
            self._workers[uid] = worker
            worker.task = asyncio.create_task(self._run(worker), name=f"orphan {uid}")

    def looks(self, uid: str) -> bool:
        """Whether `wake` makes a worker look: not once the pod is being ended, which waits for nobody's word."""
        return self.phase(uid) is Phase.SYNCING

    def wake(self, uid: str) -> None:
        """Something may have changed in the runtime: look again."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake.set()

    def judged(self, uid: str) -> None:
        """A probe's verdict has changed: look again; of a pod that is being ended, tell it (SetContainerReadiness)."""
        self._syncer.tell_verdict(uid)
        self.wake(uid)

    async def stop(self) -> None:
        """End the workers, not the pods."""
        tasks = [worker.task for worker in self._workers.values() if worker.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _read_deletion(self, worker: _Worker, pod: Pod) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            return
        grace = pods.grace_period(pod)
        worker.end = True
        worker.grace = grace if worker.grace is None else min(grace, worker.grace)
        _hasten(worker)

    async def _run(self, worker: _Worker) -> None:
        try:
            await self._wait_turn(worker)
            if not worker.end and await self._admitted(worker):
                await self._syncing(worker)
            worker.phase = Phase.TERMINATING
            await self._until_done(worker, self._terminate)
            worker.phase = Phase.TERMINATED
            worker.stopped.set()
            await self._until_done(worker, self._clean)
            worker.phase = Phase.FINISHED
            worker.finished.set()
            self._pass_on(worker)
            await self._linger(worker)
        finally:
            worker.stopped.set()
            worker.finished.set()
            self._pass_on(worker)
            self._workers.pop(worker.uid, None)
            if worker.removed:
                self._syncer.forget(worker.uid)
        if worker.back is not None:
            self.update(worker.back)

    async def _admitted(self, worker: _Worker) -> bool:
        assert worker.pod is not None
        verdict = await self.admit(worker.pod) if self.admit is not None else None
        if verdict is None:
            worker.admitted = True
            return True
        self._syncer.refuse(worker.uid, verdict)
        worker.end = True
        return False

    async def _wait_turn(self, worker: _Worker) -> None:
        """A static pod waits until the one of the same name before it is gone: they would share files and ports."""
        if worker.pod is None or not pods.is_static(worker.pod):
            return
        while (before := self._names.get(worker.full_name)) is not None and not worker.end:
            waiter = asyncio.ensure_future(before.wait())
            hurried = asyncio.ensure_future(worker.hurry.wait())
            await asyncio.wait((waiter, hurried), return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            hurried.cancel()
        if not worker.end:
            worker.turn = self._names[worker.full_name] = asyncio.Event()

    def _pass_on(self, worker: _Worker) -> None:
        """Give the name away, once, and only by the pod that has it: of several waiting ones some never get it."""
        if worker.turn is not None:
            self._names.pop(worker.full_name, None)
            worker.turn.set()
            worker.turn = None

    async def _syncing(self, worker: _Worker) -> None:
        while not worker.end:
            worker.wake.clear()
            assert worker.pod is not None
            again, began = RETRY, self._clock.monotonic()
            if not worker.synced:
                observed.worker_started(began - worker.seen)
            sync = asyncio.ensure_future(self._syncer.sync_pod(worker.pod))
            try:
                if not await self._unless_hurried(worker, sync):
                    return
                outcome = sync.result()
                observed.synced("sync" if worker.synced else "create", self._clock.monotonic() - began)
                worker.synced = True
                if outcome.terminal:
                    worker.end = True
                    return
                again = outcome.again_in
            except RuntimeUnreachable as error:
                log.warning("pod %s: the runtime does not answer: %s", worker.full_name, error.message)
                again = 1.0
            except KillFailed as error:
                log.warning("pod %s: the old sandbox could not be ended: %s", worker.full_name, error)
            except RuntimeCallError as error:
                self._failed(worker, error)
            except Exception as error:
                log.exception("Error syncing pod, skipping: %s", worker.full_name)
                self._failed(worker, error)
            if again > 0 and not worker.end:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(again):
                        await worker.wake.wait()

    def _failed(self, worker: _Worker, error: Exception) -> None:
        if worker.pod is not None:
            self._recorder.pod(worker.pod, "Warning", "FailedSync", f"error determining status: {error}")

    async def _unless_hurried(self, worker: _Worker, work: asyncio.Future[Any]) -> bool:
        """Wait for `work`; cancel it when the pod is to end sooner than was known. False when it was cancelled."""
        hurried = asyncio.ensure_future(worker.hurry.wait())
        try:
            await asyncio.wait((work, hurried), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return True
            work.cancel()
            await asyncio.wait((work,))
            return False
        except asyncio.CancelledError:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await work
            raise
        finally:
            hurried.cancel()

    async def _until_done(self, worker: _Worker, step: Callable[[_Worker], asyncio.Future[None]]) -> None:
        while True:
            worker.hurry.clear()
            work = step(worker)
            try:
                if await self._unless_hurried(worker, work):
                    work.result()
                    return
            except RuntimeCallError as error:
                log.warning("pod %s: %s: %s", worker.full_name, worker.phase.value, error)
                await self._clock.sleep(_TERMINATING_RETRY)
            except Exception:
                log.exception("pod %s: %s", worker.full_name, worker.phase.value)
                await self._clock.sleep(_TERMINATING_RETRY)

    def _terminate(self, worker: _Worker) -> asyncio.Future[None]:
        worker.given = _grace(worker)
        return asyncio.ensure_future(self._syncer.sync_terminating(worker.pod, worker.uid, worker.given))

    def _clean(self, worker: _Worker) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._clean_up(worker, deleting=worker.removed or worker.grace is not None))

    async def _clean_up(self, worker: _Worker, *, deleting: bool) -> None:
        if not worker.cleaned:
            await self._syncer.sync_terminated(worker.pod, worker.uid, keep_containers=not deleting)
            worker.cleaned = deleting

    async def _linger(self, worker: _Worker) -> None:
        """An ended pod stays known until its source forgets it; its deletion is answered, its revival is not."""
        told = False
        while not worker.removed:
            if worker.pod is not None and worker.grace is not None and not told:
                await self._until_done(worker, self._clean)
                self._finished(worker.pod)
                told = True
            await worker.wake.wait()
            worker.wake.clear()
        await self._until_done(worker, self._clean)


def _grace(worker: _Worker) -> int | None:
    """The shorter of what the pod's deletion and what the node itself gives it, else what the pod says; a second at the
    least, so that hooks run (calculateEffectiveGracePeriod). None when the pod is not known."""
    given = [grace for grace in (worker.grace, worker.forced) if grace is not None]
    if not given and worker.pod is None:
        return None
    return max(1, min(given) if given or worker.pod is None else pods.grace_period(worker.pod))


def _hasten(worker: _Worker) -> None:
    """Break off what is being done for a pod that is to end: its start, or an end that was to take longer."""
    grace = _grace(worker)
    shorter = grace is not None and worker.given is not None and grace < worker.given
    if worker.phase is Phase.SYNCING or (worker.phase is Phase.TERMINATING and shorter):
        worker.hurry.set()
