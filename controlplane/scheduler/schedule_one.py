"""The scheduling loop: one pod at a time is decided, binding goes on beside it (upstream's schedule_one.go).

A decision (snapshot, filter, score, assume) holds no await, so nothing changes underneath it, unless extenders have a
say in it; then no other is made meanwhile. Only then does the API hear of it, and the next pod's turn does not wait for
the answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from apimachinery.api.catalogue import PODS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.controller.series_recorder import SeriesRecorder
from apimachinery.kit.clock import Clock
from apimachinery.kit.trace import Thing, current
from apimachinery.meta import pods
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.scheduler import observed
from controlplane.scheduler.budgets import Violating
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.decision import Decision, choose, decide, find_feasible, where_room_was_made
from controlplane.scheduler.extender import NAME as EXTENDER
from controlplane.scheduler.extender import ExtenderFailed, Extenders
from controlplane.scheduler.framework import Change, Framework, PreBindFailed, ReservePlugin, Verdict, What
from controlplane.scheduler.messages import fit_error
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.nominator import Nominator
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.preemption import Preemption, find_candidates, least_harm, plan_preemption
from controlplane.scheduler.queue import QueuedPod, SchedulingQueue
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.telling import Telling

log = logging.getLogger(__name__)

# Bindings under way at once, each on a connection; beyond, decisions wait for the API server.
MAX_BINDINGS = 32
# Stands for "there was no node to ask" among the refusing plugins: any change may help.
_NO_NODES = "NoNodes"
_NOBODY = Preemption(None)  # is evicted


class _Tried(Struct, gc=False):
    """What the trace keeps of one attempt. result: the node, "" for none."""

    causes: tuple[Thing, ...]
    result: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Considered:
    """Where a pod would go, or why nowhere, whom it would evict, and the patch of its status that would say so."""

    decision: Decision
    message: str = ""
    preemption: Preemption = _NOBODY
    status: Mapping[str, Any] = field(default_factory=dict)


class ScheduleOne:
    """Takes pods from the queue and gives them nodes."""

    def __init__(
        self,
        client: Client,
        cache: SchedulerCache,
        queue: SchedulingQueue,
        nominator: Nominator,
        frameworks: Mapping[str, Framework],
        recorders: Mapping[str, SeriesRecorder],
        clock: Clock,
        rng: random.Random,
        violating: Violating,
        percentage: int,
        extenders: Extenders,
    ) -> None:
        self._client, self._cache, self._queue, self._nominator = client, cache, queue, nominator
        self._frameworks, self._clock, self._rng = frameworks, clock, rng
        self._telling = Telling(client, recorders, clock)
        self._violating, self._percentage, self._extenders = violating, percentage, extenders
        # Free, and taken without a pause, where no extender is asked; otherwise the others wait for its answers.
        self._deciding = asyncio.Lock()
        self._slots = asyncio.Semaphore(MAX_BINDINGS)
        self._start = 0
        self._working: set[str] = set()
        self._said = ("", "")  # of which pod was last said why it has no node, and what

    @property
    def working(self) -> list[str]:
        """The keys of the pods that are being decided about, or bound."""
        return sorted(self._working)

    def consider(self, pod: PodInfo) -> Considered:
        """What would be decided about a pod now, and done; nothing comes of it, and no extender is asked."""
        snapshot, framework = self._cache.snapshot(), self._frameworks[pod.scheduler_name]
        same = random.Random()
        same.setstate(self._rng.getstate())
        decision = self._decide(framework, pod, snapshot, same)
        if decision.node is not None:
            return Considered(decision)
        preemption = _NOBODY
        if len(snapshot) and framework.preempts:
            nominated = self._nominator.nominated()
            preemption = plan_preemption(
                framework, pod, snapshot, decision.refusals, self._violating, self._start, nominated
            )
        message = fit_error(len(snapshot), decision.refusals, preemption.message)
        return Considered(decision, message, preemption, self._telling.waiting(pod, message, preemption.nominated))

    async def step(self, key: str = "") -> dict[str, Any]:
        """Schedule the next pod (or that of `key`), even while the queue is held; {} when there is none."""
        queued = self._queue.take(key)
        if queued is None:
            return {}
        async with self._slots:
            await self._one(queued)
        node = self._cache.place_of(queued.pod.uid)
        about, why = self._said
        if node is not None:
            result = f"bound to {node}"
        else:
            result = f"not scheduled: {why}" if about == queued.pod.key else "not scheduled"
        return {"key": queued.pod.key, "result": result, "error": "", "again": None}

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                queued = await self._queue.pop()
                await self._slots.acquire()
                task = group.create_task(self._one(queued))
                task.add_done_callback(lambda _: self._slots.release())
                # Let the informers speak between two decisions.
                await asyncio.sleep(0)

    async def _one(self, queued: QueuedPod) -> None:
        """Decide, without awaiting, then tell the API. Noted in the component's trace."""
        pod, trace = queued.pod, current()
        self._working.add(pod.key)
        try:
            if trace is None:
                await self._schedule(queued)
                return
            began, started = trace.now(), self._clock.monotonic()
            cause = ("pods", pod.key, str(pod.pod["metadata"].get("resourceVersion", "")))
            with trace.working() as work:
                await self._schedule(queued)
            node, seconds = self._cache.place_of(pod.uid), self._clock.monotonic() - started
            detail = _Tried((cause,), node or "", queued.attempts, seconds)
            trace.note_at(began, work, "reconciled", "scheduler", pod.key, "", detail)
        finally:
            self._working.discard(pod.key)

    def _decide(self, framework: Framework, pod: PodInfo, snapshot: Snapshot, rng: random.Random) -> Decision:
        return decide(
            framework,
            pod,
            snapshot,
            start=self._start,
            nominated=self._nominator.nominated(),
            rng=rng,
            percentage=self._share(framework),
        )

    def _decide_alone(self, framework: Framework, pod: PodInfo, snapshot: Snapshot) -> Decision:
        """The decision that nobody else has a say in, measured."""
        began, nominated, share = time.perf_counter(), self._nominator.nominated(), self._share(framework)
        found = where_room_was_made(framework, pod, snapshot, nominated) or find_feasible(
            framework, pod, snapshot, start=self._start, nominated=nominated, percentage=share
        )
        filtered = time.perf_counter()
        observed.ran("Filter", pod.scheduler_name, filtered - began)
        decision = choose(framework, pod, snapshot, found, rng=self._rng)
        if len(found.nodes) > 1:
            observed.ran("Score", pod.scheduler_name, time.perf_counter() - filtered)
        return decision

    def _share(self, framework: Framework) -> int:
        return self._percentage if framework.percentage is None else framework.percentage

    async def _decide_with_others(self, framework: Framework, pod: PodInfo, snapshot: Snapshot) -> Decision:
        """The decision that extenders have a say in. Raises ExtenderFailed."""
        nominated, percentage = self._nominator.nominated(), self._share(framework)
        awaited = where_room_was_made(framework, pod, snapshot, nominated)
        if awaited is not None and (await self._extenders.filter(pod, awaited.nodes))[0]:
            return choose(framework, pod, snapshot, awaited)
        found = find_feasible(framework, pod, snapshot, start=self._start, nominated=nominated, percentage=percentage)
        found.nodes, refused = await self._extenders.filter(pod, found.nodes)
        found.refusals |= refused
        added = await self._extenders.prioritize(pod, found.nodes) if len(found.nodes) > 1 else {}
        return choose(framework, pod, snapshot, found, rng=self._rng, added=added)

    async def _make_room(
        self, framework: Framework, pod: PodInfo, snapshot: Snapshot, refusals: Mapping[str, Verdict]
    ) -> Preemption:
        """Whom to evict, or why nobody. Awaits extenders only."""
        if not len(snapshot) or not framework.preempts:
            return Preemption(None)
        began = time.perf_counter()
        preemption = await self._preempt(framework, pod, snapshot, refusals)
        observed.PREEMPTIONS.inc()
        status = "Error" if preemption.failed else "Success" if preemption.victims else "Unschedulable"
        observed.ran("PostFilter", pod.scheduler_name, time.perf_counter() - began, status)
        if preemption.victims is not None:
            observed.VICTIMS.observe(len(preemption.victims.pods))
        return preemption

    async def _preempt(
        self, framework: Framework, pod: PodInfo, snapshot: Snapshot, refusals: Mapping[str, Verdict]
    ) -> Preemption:
        nominated = self._nominator.nominated()
        if not self._extenders.concern(pod):
            return plan_preemption(framework, pod, snapshot, refusals, self._violating, self._start, nominated)
        found = find_candidates(framework, pod, snapshot, refusals, self._violating, self._start, nominated)
        if isinstance(found, Preemption):
            return found
        try:
            left = await self._extenders.preempt(pod, found, snapshot.by_name)
        except ExtenderFailed as error:
            return Preemption(None, str(error), failed=True)
        if not left:
            return Preemption(None, "no candidate node for preemption", waits=True)
        return Preemption(least_harm(left))

    async def _schedule(self, queued: QueuedPod) -> None:
        pod = queued.pod
        try:
            async with self._deciding:
                outcome = await self._conclude(queued)
            if isinstance(outcome, NodeInfo):
                plugins = self._frameworks[pod.scheduler_name].reserve(pod, outcome)
                if await self._prepare(queued, outcome, plugins):
                    await self._bind(queued, outcome.name)
            elif outcome is not None:
                await self._refuse(pod, *outcome)
        except ExtenderFailed as error:
            await self._fail(queued, str(error))
        except (ApiError, ApiUnreachable) as error:
            # Of the evictions some may be lacking, and then nothing would change that could wake the pod.
            log.warning("%s: %s", pod.key, error)
            self._queue.retry(pod.uid)
        except Exception as error:
            # An object that breaks a plugin must not stop the others.
            log.exception("scheduling %s failed", pod.key)
            await self._fail(queued, f"{type(error).__name__}: {error}")

    async def _conclude(self, queued: QueuedPod) -> NodeInfo | tuple[str, Preemption] | None:
        """Decide and keep account of it: the node on which the pod is assumed now, or why it waits and whom to evict.

        None for a pod that needs no decision any more. Awaits extenders only. Raises ExtenderFailed.
        """
        pod = queued.pod
        if pod.deleting:
            self._telling.complain(pod, f"skip schedule deleting pod: {pod.key}")
            return None
        if self._cache.place_of(pod.uid) is not None:
            return None
        framework, snapshot = self._frameworks[pod.scheduler_name], self._cache.snapshot()
        began = time.perf_counter()
        try:
            if self._extenders.concern(pod):
                decision = await self._decide_with_others(framework, pod, snapshot)
            else:
                decision = self._decide_alone(framework, pod, snapshot)
        finally:
            observed.ALGORITHM_SECONDS.observe(time.perf_counter() - began)
        self._start = (self._start + decision.evaluated) % max(len(snapshot), 1)
        if decision.node is not None:
            self._cache.assume(pod, decision.node)
            self._nominator.remove(pod.uid)
            return snapshot.by_name[decision.node]
        preemption = await self._make_room(framework, pod, snapshot, decision.refusals)
        message = fit_error(len(snapshot), decision.refusals, preemption.message)
        self._said = (pod.key, message)
        refused_by = {verdict.plugin for verdict in decision.refusals.values()}
        if len(decision.refusals) < len(snapshot):
            refused_by.add(EXTENDER)  # it left nodes out and did not say why
        # What changed while others were asked has woken nobody: then the pod is tried again without waiting for more.
        waits = self._cache.snapshot() is snapshot and not preemption.failed
        self._ended(queued, "unschedulable")
        self._queue.put_back(queued, refused_by or {_NO_NODES} if waits else ())
        return message, preemption

    async def _prepare(self, queued: QueuedPod, node: NodeInfo, plugins: Sequence[ReservePlugin]) -> bool:
        """Do what must be done before the binding; False when it failed and the choice was taken back.

        It may take minutes (volumes are provisioned), and counts as no binding under way.
        """
        if not plugins:
            return True
        pod = queued.pod

        def gone() -> bool:
            return self._cache.place_of(pod.uid) is None

        self._slots.release()
        try:
            for plugin in plugins:
                try:
                    await plugin.pre_bind(pod, node, gone)
                except (PreBindFailed, ApiError, ApiUnreachable) as error:
                    if gone():
                        self._frameworks[pod.scheduler_name].unreserve(pod)
                        return False
                    await self._fail(queued, f'running PreBind plugin "{plugin.name}": {error}')
                    return False
        finally:
            await self._slots.acquire()
        return True

    async def _bind(self, queued: QueuedPod, node: str) -> None:
        pod = queued.pod
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.pod["metadata"].get("uid")},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        began = time.perf_counter()
        try:
            if not await self._extenders.bind(pod, node):
                await self._client.create_subresource(PODS, pod.name, "binding", binding, pod.namespace)
            observed.ran("Bind", pod.scheduler_name, time.perf_counter() - began)
        except ExtenderFailed as error:
            await self._fail(queued, str(error))
            return
        except ApiError as error:
            if not is_not_found(error):
                await self._fail(queued, f'running Bind plugin "DefaultBinder": {error.message}')
                return
            self._ended(queued, "error")
            self._give_up(queued, again=False)
            return
        except ApiUnreachable:
            # Nobody knows whether it was bound: the pod stays assumed until the API tells.
            if not await self._was_bound(pod):
                self._ended(queued, "error")
                self._give_up(queued)
                return
        self._ended(queued, "scheduled")
        since = queued.added if queued.since is None else queued.since
        observed.placed(queued.attempts, self._clock.monotonic() - since)
        self._telling.scheduled(pod, node)

    def _ended(self, queued: QueuedPod, result: str) -> None:
        """Count the attempt."""
        observed.attempted(result, queued.pod.scheduler_name, self._clock.monotonic() - queued.tried)

    async def _was_bound(self, pod: PodInfo) -> bool:
        """Ask until the API answers."""
        while True:
            try:
                current = await self._client.get(PODS, pod.name, pod.namespace)
            except ApiError as error:
                if is_not_found(error):
                    return False
            except ApiUnreachable:
                pass
            else:
                return current["metadata"].get("uid") == pod.uid and bool(pods.node_name(current))
            await self._clock.sleep(1)

    def _give_up(self, queued: QueuedPod, *, again: bool = True) -> None:
        """Take back what was assumed, wake whom the room helps, and try the pod again after its backoff.

        again: False for a pod that is gone.
        """
        self._frameworks[queued.pod.scheduler_name].unreserve(queued.pod)
        held = self._cache.is_assumed(queued.pod.uid)
        self._cache.forget(queued.pod.uid)
        if held:
            self._queue.move(Change(What.POD_DELETE, old=queued.pod))
        if again and self._cache.place_of(queued.pod.uid) is None:
            self._queue.put_back(queued)

    async def _fail(self, queued: QueuedPod, message: str) -> None:
        """Give up for now, for an error."""
        self._ended(queued, "error")
        self._give_up(queued)
        self._nominator.remove(queued.pod.uid)
        self._said = (queued.pod.key, message)
        await self._telling.failed(queued.pod, message)

    async def _refuse(self, pod: PodInfo, message: str, preemption: Preemption) -> None:
        """Tell why the pod waits, and make the room that it may get."""
        victims, node = preemption.victims, preemption.nominated
        if node is not None:
            self._nominator.nominate(pod, node)
        if not await self._telling.refused(pod, message, node):
            self._nominator.remove(pod.uid)
        elif victims is not None:
            await asyncio.gather(*(self._telling.evict(pod, victim, victims.node) for victim in victims.pods))
            for other in self._nominator.lower_than(pod, victims.node):
                self._nominator.remove(other.uid)
                await self._telling.waits_no_more(other)
