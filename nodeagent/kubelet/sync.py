"""One pass over one pod: look, plan, act, look again, tell. The three phases that a pod worker steps through."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.go_print import quoted
from nodeagent.cri.errors import RuntimeCallError, RuntimeUnreachable
from nodeagent.kubelet import observed, pods
from nodeagent.kubelet.actions import Actions, compute_actions
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.probes.manager import ProbeManager
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.resize.plan import IN_PROGRESS
from nodeagent.kubelet.resize.resizer import Resizer
from nodeagent.kubelet.runtime.handlers import Handlers
from nodeagent.kubelet.runtime.kill import Ending, Killer, KillFailed
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.state import PodState, State
from nodeagent.kubelet.runtime.user_namespaces import UserNamespaces
from nodeagent.kubelet.sandboxes import NodeView, Sandboxes
from nodeagent.kubelet.starting import RETRY, Starting
from nodeagent.kubelet.status.compute import Verdict, compute_status, has_ended
from nodeagent.kubelet.status.containers import ContainerView, Waiting
from nodeagent.kubelet.status.manager import StatusManager
from nodeagent.kubelet.volumes.manager import VolumeManager, VolumeProblem

log = logging.getLogger(__name__)

_LATE = Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
# How long the start of containers may take before the pod's address is told without them.
_SOON = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """terminal: the pod has ended and is to be cleaned up. again_in: seconds until the next pass, at the latest."""

    terminal: bool = False
    again_in: float = math.inf


@dataclass(slots=True)
class _Memory:
    """What is remembered of a pod between passes."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    verdict: Verdict | None = None
    began: float | None = None  # when the pod did, by the monotonic clock
    resize: str = ""
    seen: float | None = None  # by the monotonic clock; None once it runs
    tried_unseen: bool = False  # the runtime did not answer


class PodSyncer:
    """Makes the runtime, the volumes, the cgroups and the status of one pod as they should be."""

    def __init__(
        self,
        *,
        observer: Observer,
        sandboxes: Sandboxes,
        starting: Starting,
        killer: Killer,
        handlers: Handlers,
        namespaces: UserNamespaces,
        volumes: VolumeManager,
        cgroups: Cgroups | None,
        status: StatusManager,
        probes: ProbeManager,
        recorder: Recorder,
        node: NodeView,
        clock: Clock,
        resizer: Resizer | None = None,
        show_users: bool = False,
        resync: float = 60.0,
    ) -> None:
        """resync: seconds after which a pod that gives no sign is looked at again."""
        self._observer, self._sandboxes, self._starting, self._killer = observer, sandboxes, starting, killer
        self._handlers, self._namespaces, self._volumes, self._cgroups = handlers, namespaces, volumes, cgroups
        self._status, self._probes, self._recorder = status, probes, recorder
        self._node, self._clock, self._resizer, self._show_users = node, clock, resizer, show_users
        self._resync = resync
        self._memory: dict[str, _Memory] = {}
        self._ending: dict[str, tuple[Pod, PodState]] = {}

    async def sync_pod(self, pod: Pod) -> Outcome:
        """Bring a pod that is to run to where it should be. Raises RuntimeCallError when the runtime is not there."""
        uid = pods.uid(pod)
        if uid not in self._memory:
            self._volumes.look_ahead(pod)
        memory = self._memory.setdefault(uid, _Memory(seen=self._clock.monotonic()))
        state = await self._look(pod, memory)
        if memory.verdict is None and self._until_deadline(pod, memory) <= 0:
            memory.verdict = _LATE
            self._recorder.pod(pod, "Normal", _LATE.reason, _LATE.message)
        status = self._tell(pod, state)
        if memory.verdict is not None or has_ended(pod, status):
            return Outcome(terminal=True)
        network = self._node.network_problem
        if network and not pods.host_network(pod):
            self._recorder.pod(pod, "Warning", "NetworkNotReady", f"network is not ready: {network}")
            return Outcome(again_in=2.0)
        asked, restarts = pod, frozenset[str]()
        if self._resizer is not None:
            pod, memory.resize = self._resizer.settle(asked)
            restarts = await self._resize(self._resizer, pod, state)
        plan = compute_actions(pod, state, self._probes.view, restarts)
        known = {container.id for container in state.containers}
        try:
            again, started = await self._act(pod, state, plan, memory)
        finally:
            if not plan.nothing:
                state = await self._observer.observe(uid)
            if not plan.nothing or self._resizer is not None:
                status = self._tell(asked, state)
        if memory.resize:
            again = min(again, RETRY)
        if started and not plan.nothing:
            again = min(again, self._at_once(pod, state, memory, known))
        if has_ended(asked, status):
            return Outcome(terminal=True)
        return Outcome(again_in=min(again, self._resync, self._until_deadline(pod, memory)))

    async def _look(self, pod: Pod, memory: _Memory) -> PodState:
        """What the runtime has of the pod. It has nothing of a new one, which is therefore tried once also while the
        runtime does not answer: what fails then is told, as upstream does until it takes the runtime for down."""
        uid = pods.uid(pod)
        try:
            return await self._observer.observe(uid)
        except RuntimeUnreachable:
            known = uid in self._observer.seen or self._status.previous(pod).get("containerStatuses")
            if known or memory.tried_unseen or self._node.runtime_problem:
                raise
            memory.tried_unseen = True
            return PodState(uid, pod["metadata"]["name"], pod["metadata"]["namespace"])

    async def sync_terminating(self, pod: Pod | None, uid: str, grace: int | None) -> None:
        """End everything that runs of the pod. Raises RuntimeCallError when that did not succeed yet."""
        state = await self._observer.observe(uid)
        if pod is not None:
            self._probes.stop_for_termination(uid)
            self._tell(pod, state)
            self._ending[uid] = pod, state
        try:
            await self._killer.kill_pod(pod, state, grace)
        except KillFailed as error:
            if pod is not None:
                self._recorder.pod(pod, "Warning", "FailedKillPod", f"error killing pod: {error}")
            raise
        finally:
            self._ending.pop(uid, None)
        state = await self._observer.observe(uid)
        if state.running:
            raise RuntimeError(f"{len(state.running)} containers of the pod still run")
        if pod is not None:
            self._tell(pod, state, terminal=True)
        self._probes.remove(uid)

    def tell_verdict(self, uid: str) -> None:
        """A probe's verdict has changed. A pod whose end is being waited for shows it, without a pass."""
        if (ending := self._ending.get(uid)) is not None:
            self._tell(*ending)

    async def sync_terminated(self, pod: Pod | None, uid: str, *, keep_containers: bool) -> None:
        """Take away what the ended pod leaves: volumes, cgroup, and its containers unless they are to be kept."""
        state = await self._observer.observe(uid)
        if not keep_containers:
            try:
                await self._killer.remove_pod(state)
            except RuntimeCallError:
                # Killed while it started a container, we leave a task that containerd takes for not yet begun: it
                # neither stops nor deletes it. The pod has ended, so whatever is in its cgroup is to die.
                if self._cgroups is not None:
                    await self._cgroups.remove_pod(uid)
                raise
            await self._observer.observe(uid)
        await self._volumes.remove(uid)
        self._namespaces.release(uid)
        if self._cgroups is not None:
            while not await self._cgroups.remove_pod(uid):
                await self._clock.sleep(0.05)
        if pod is not None:
            self._tell(pod, state, terminal=True)
        self._starting.forget(uid, {container.id for container in state.containers})

    def forget(self, uid: str) -> None:
        """The pod is gone from every source and from the node."""
        self._memory.pop(uid, None)
        self._status.forget(uid)
        if self._resizer is not None:
            self._resizer.forget(uid)

    def refuse(self, uid: str, verdict: Verdict) -> None:
        """Fail a pod that the node does not take, or ends by itself; the first verdict stays."""
        memory = self._memory.setdefault(uid, _Memory())
        memory.verdict = memory.verdict or verdict

    # --- acting

    async def _resize(self, resizer: Resizer, pod: Pod, state: PodState) -> frozenset[str]:
        """Bring running containers to what they were granted; returns those that it takes a restart for."""
        try:
            return await resizer.apply(pod, state)
        except (RuntimeCallError, OSError) as error:
            # What they have is shown, and the next pass tries again.
            log.warning("Failed to resize pod %s: %s", pods.describe(pod), error)
            return frozenset()

    def _at_once(self, pod: Pod, state: PodState, memory: _Memory, known: Collection[str]) -> float:
        """How soon to look again when what was just started has come to its end before we looked: an end that we have
        seen is told of by nobody else. known: ids of the containers that were there before the pass.

        What could not be made waits; what was made and could not be run has ended as any other.
        """
        plan = compute_actions(pod, state, self._probes.view)
        if plan.kill_pod or plan.kill:
            return 1.0
        made = {each.name for each in state.containers if each.id not in known and each.state is State.EXITED}
        waits = {*plan.start, *plan.start_init, *plan.start_ephemeral} - (memory.waiting.keys() - made)
        return 0.0 if waits else math.inf

    async def _act(self, pod: Pod, state: PodState, plan: Actions, memory: _Memory) -> tuple[float, bool]:
        """Do what is to be done; returns (seconds until the next pass, whether it came to starting containers)."""
        ended = {container.id for container in state.containers if container.state is State.EXITED}
        if plan.kill_pod:
            if plan.replaces_sandbox:
                message = "Pod sandbox changed, it will be killed and re-created."
                self._recorder.pod(pod, "Normal", "SandboxChanged", message)
            if state.sandboxes:
                await self._killer.kill_pod(pod, state)
                state = await self._observer.observe(pods.uid(pod))
            if not plan.create_sandbox:
                return 0.0, False
        elif plan.kill:
            await asyncio.gather(
                *(
                    self._killer.kill_container(pod, kill.container, Ending(kill.message, kill.reason), state.ips)
                    for kill in plan.kill.values()
                )
            )
            state = await self._observer.observe(pods.uid(pod))
        self._starting.note_ends(state)
        try:
            # Most containers start at once: then there is one thing to tell, not two.
            around = await self._sandboxes.ensure(pod, state, plan, lambda now: self._tell(pod, now, after=_SOON))
        except VolumeProblem as error:
            for reason, message in error.events:
                self._recorder.pod(pod, "Warning", reason, message)
                log.error('"Error syncing pod, skipping" err=%s %s', quoted(message), pods.logged(pod))
            return error.retry_in, False
        if around is None:
            return RETRY, False
        return await self._starting.start_all(pod, state, plan, around, memory.waiting, ended), True

    # --- telling

    def _tell(self, pod: Pod, state: PodState, *, terminal: bool = False, after: float = 0.0) -> dict[str, Any]:
        memory = self._memory.setdefault(pods.uid(pod), _Memory())
        self._probes.sync(pod, state)
        view = ContainerView(
            memory.waiting,
            self._probes.is_ready,
            self._probes.is_started,
            recursive=self._handlers.mounts_recursively(pod),
            users=self._show_users,
        )
        status = compute_status(
            pod,
            state,
            view,
            previous=self._status.previous(pod),
            host_ips=self._node.facts.host_ips,
            now=self._clock.now(),
            terminal=terminal,
            verdict=memory.verdict,
        )
        if memory.seen is not None and status["phase"] == "Running":
            observed.pod_started(self._clock.monotonic() - memory.seen)
            memory.seen = None
        if self._resizer is not None:
            shown = (status.get(kind) or () for kind in ("containerStatuses", "initContainerStatuses"))
            behind = self._resizer.show(pod, state, [each for statuses in shown for each in statuses])
            resize = memory.resize or (IN_PROGRESS if behind else "")
            if resize and not terminal:
                status["resize"] = resize
        self._status.set(pod, status, after=after)
        return status

    # --- activeDeadlineSeconds

    def _until_deadline(self, pod: Pod, memory: _Memory) -> float:
        """Seconds. The deadline may be moved at any time, and counts from the pod's start, whoever saw that."""
        if memory.began is None:
            began = self._status.previous(pod).get("startTime")
            age = (self._clock.now() - times.parse(began)).total_seconds() if began else 0.0
            memory.began = self._clock.monotonic() - max(0.0, age)
        seconds = pod["spec"].get("activeDeadlineSeconds")
        return math.inf if seconds is None else max(0.0, memory.began + float(seconds) - self._clock.monotonic())
