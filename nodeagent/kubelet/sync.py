"""One pass over one pod: look, plan, act, look again, tell. The three phases that a pod worker steps through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.times import format_duration
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet import dns, observed, pods
from nodeagent.kubelet.actions import Actions, compute_actions
from nodeagent.kubelet.backoff import CrashBackoff
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.credentials import pull_secrets
from nodeagent.kubelet.dns import Resolver
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.objects import ObjectStore
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.probes.manager import ProbeManager
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.resize.plan import IN_PROGRESS
from nodeagent.kubelet.resize.resizer import Resizer
from nodeagent.kubelet.runtime.addresses import Addresses, AddressTaken
from nodeagent.kubelet.runtime.classes import NoSuchClass, RuntimeClasses
from nodeagent.kubelet.runtime.handlers import Handlers
from nodeagent.kubelet.runtime.kill import Ending, Killer, KillFailed
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.render import render_sandbox
from nodeagent.kubelet.runtime.start import Starter, StartProblem, Surroundings
from nodeagent.kubelet.runtime.state import PodState, State
from nodeagent.kubelet.runtime.user_namespaces import NoUserNamespace, UserNamespaces, apply_to_sandbox
from nodeagent.kubelet.status.compute import Verdict, compute_status, has_ended
from nodeagent.kubelet.status.containers import ContainerView, Waiting
from nodeagent.kubelet.status.manager import StatusManager
from nodeagent.kubelet.volumes.manager import VolumeManager, VolumeProblem

log = logging.getLogger(__name__)

# The wait after a failed pass (upstream's backOffPeriod), and the regular look at a pod that gives no sign.
RETRY, RESYNC = 10.0, 60.0
_LATE = Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
# What the metrics call the kinds of containers.
_KINDS = {"init": "init_container", "regular": "container", "ephemeral": "ephemeral_container"}
# How long the start of containers may take before the pod's address is told without them.
_SOON = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """terminal: the pod has ended and is to be cleaned up. again_in: seconds until the next pass, at the latest."""

    terminal: bool = False
    again_in: float = RESYNC


@dataclass(slots=True)
class NodeView:
    """What a pass needs to know of the node; filled by the node's own loops.

    services: the service environment of a namespace, with links or without; None before services have been read.
    """

    facts: NodeFacts
    resolver: Resolver
    cluster_dns: tuple[str, ...]
    cluster_domain: str
    network_problem: str | None = None
    services: Callable[[str, bool], Mapping[str, str] | None] = lambda _namespace, _links: {}


@dataclass(slots=True)
class _Memory:
    """What is remembered of a pod between passes."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    verdict: Verdict | None = None
    began: float | None = None  # when the pod did, by the monotonic clock
    resize: str = ""
    seen: float | None = None  # by the monotonic clock; None once it runs


class PodSyncer:
    """Makes the runtime, the volumes, the cgroups and the status of one pod as they should be."""

    def __init__(
        self,
        *,
        runtime: RuntimeService,
        observer: Observer,
        addresses: Addresses,
        starter: Starter,
        classes: RuntimeClasses,
        handlers: Handlers,
        namespaces: UserNamespaces,
        killer: Killer,
        volumes: VolumeManager,
        cgroups: Cgroups | None,
        store: ObjectStore,
        status: StatusManager,
        probes: ProbeManager,
        recorder: Recorder,
        backoff: CrashBackoff,
        paths: Paths,
        node: NodeView,
        clock: Clock,
        resizer: Resizer | None = None,
        show_users: bool = False,
    ) -> None:
        self._resizer, self._addresses, self._show_users = resizer, addresses, show_users
        self._runtime, self._observer, self._starter, self._killer = runtime, observer, starter, killer
        self._classes, self._handlers, self._namespaces = classes, handlers, namespaces
        self._volumes, self._cgroups, self._store, self._status = volumes, cgroups, store, status
        self._probes, self._recorder, self._backoff = probes, recorder, backoff
        self._paths, self._node, self._clock = paths, node, clock
        self._memory: dict[str, _Memory] = {}
        self._ending: dict[str, tuple[Pod, PodState]] = {}

    async def sync_pod(self, pod: Pod) -> Outcome:
        """Bring a pod that is to run to where it should be. Raises RuntimeCallError when the runtime is not there."""
        uid = pods.uid(pod)
        if uid not in self._memory:
            self._volumes.look_ahead(pod)
        memory = self._memory.setdefault(uid, _Memory(seen=self._clock.monotonic()))
        state = await self._observer.observe(uid)
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
            again = min(again, self._at_once(pod, state, memory))
        if has_ended(asked, status):
            return Outcome(terminal=True)
        return Outcome(again_in=min(again, self._until_deadline(pod, memory)))

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
        self._backoff.forget(uid, {container.id for container in state.containers})

    def forget(self, uid: str) -> None:
        """The pod is gone from every source and from the node."""
        self._memory.pop(uid, None)
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

    def _at_once(self, pod: Pod, state: PodState, memory: _Memory) -> float:
        """How soon to look again when what was just started has come to its end before we looked."""
        plan = compute_actions(pod, state, self._probes.view)
        if plan.kill_pod or plan.kill:
            return 1.0
        waits = {*plan.start, *plan.start_init, *plan.start_ephemeral} - memory.waiting.keys()
        return 0.0 if waits else RESYNC

    async def _act(self, pod: Pod, state: PodState, plan: Actions, memory: _Memory) -> tuple[float, bool]:
        """Do what is to be done; returns (seconds until the next pass, whether it came to starting containers)."""
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
        self._note_ends(state)
        try:
            around = await self._surroundings(pod, state, plan)
        except VolumeProblem as error:
            for message in error.messages:
                self._recorder.pod(pod, "Warning", "FailedMount", message)
            return error.retry_in, False
        if around is None:
            return RETRY, False
        return await self._start_all(pod, state, plan, around, memory), True

    async def _surroundings(self, pod: Pod, state: PodState, plan: Actions) -> Surroundings | None:
        """Volumes, cgroup and sandbox: what containers are started into. None when the sandbox could not be made."""
        uid, facts, sandbox_id = pods.uid(pod), self._node.facts, plan.sandbox_id
        self._paths.pod(uid).mkdir(parents=True, exist_ok=True)
        self._paths.pod_log_dir(pod).mkdir(parents=True, exist_ok=True)
        # Asked before the first await: one pass uses one set of services.
        services = self._node.services(pod["metadata"]["namespace"], pod["spec"].get("enableServiceLinks") is not False)
        parent = await self._cgroups.ensure_pod(pod) if self._cgroups is not None else ""
        volumes = await self._volumes.ensure(pod, state.ips, facts)
        try:
            config = render_sandbox(
                pod,
                attempt=plan.attempt,
                cgroup_parent=parent,
                resolver=self._resolver(pod),
                cluster_domain=self._node.cluster_domain,
                paths=self._paths,
            )
        except dns.NameTooLong as error:
            self._no_sandbox(pod, error)
            return None
        now = state
        if plan.create_sandbox:
            try:
                handler = await self._classes.handler(pod)
                users = await self._namespaces.ensure(pod, handler)
                apply_to_sandbox(users, config)
                sandbox_id, _ = await asyncio.gather(
                    self._run_sandbox(config, handler),
                    self._starter.look_ahead(pod, [*plan.start_init, *plan.start]),
                )
            except (RuntimeCallError, NoSuchClass, NoUserNamespace) as error:
                self._no_sandbox(pod, error)
                return None
            now = await self._observer.observe_new_sandbox(state, sandbox_id)
        else:
            apply_to_sandbox(users := self._namespaces.held(pod), config)
        try:
            await self._addresses.claim(now)
        except AddressTaken as error:
            self._no_sandbox(pod, error)
            return None
        if plan.create_sandbox:
            # Most containers start at once: then there is one thing to tell, not two.
            self._tell(pod, now, after=_SOON)
        secrets, missing = await pull_secrets(self._store, pod)
        if missing:
            text = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            self._recorder.pod(
                pod,
                "Warning",
                "FailedToRetrieveImagePullSecret",
                f"{text}; attempting to pull the image may not succeed.",
            )
        return Surroundings(sandbox_id, config, now.ips, volumes, services, secrets, facts, users)

    def _resolver(self, pod: Pod) -> Resolver:
        def warn(reason: str, message: str) -> None:
            if reason == dns.MISSING:
                self._recorder.node("Warning", reason, dns.NO_CLUSTER_DNS)
            self._recorder.pod(pod, "Warning", reason, message)

        node = self._node
        return dns.pod_resolver(pod, node.resolver, node.cluster_dns, node.cluster_domain, warn)

    async def _run_sandbox(self, config: cri.PodSandboxConfig, handler: str) -> str:
        began, failed = self._clock.monotonic(), True
        try:
            identity = await self._runtime.run_pod_sandbox(config, handler)
            failed = False
            return identity
        finally:
            observed.sandbox_ran(handler, self._clock.monotonic() - began, failed=failed)

    def _no_sandbox(self, pod: Pod, why: Exception) -> None:
        self._recorder.pod(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}")

    async def _start_all(
        self, pod: Pod, state: PodState, plan: Actions, around: Surroundings, memory: _Memory
    ) -> float:
        """Start what is planned, one after the other; returns how long until the next pass."""
        again = RESYNC
        init = {container["name"] for container in pods.init_containers(pod)}
        for name in [*plan.start_ephemeral, *plan.start_init, *plan.start]:
            found = pods.find_container(pod, name)
            assert found is not None
            try:
                await self._start_one(pod, *found, state, around)
                memory.waiting.pop(name, None)
            except StartProblem as error:
                memory.waiting[name] = Waiting(error.reason, str(error))
                again = min(again, RETRY if error.retry_in is None else error.retry_in)
                if name in init:
                    return again
        return again

    async def _start_one(
        self, pod: Pod, kind: pods.Kind, container: Container, state: PodState, around: Surroundings
    ) -> None:
        name = container["name"]
        latest = state.latest(name)
        count = 0
        if latest is not None:
            count = latest.restart_count + 1
            if latest.state is State.EXITED:
                self._check_backoff(pod, container, latest.id)
                if latest.reason == "StartError":
                    # Killed while it started this one, an agent leaves more of it than the CRI knows.
                    await self._runtime.delete_lost_task(latest.id)
        else:
            count = self._restarts_shown(pod, name)
        target = container.get("targetContainerName")
        target_id = ""
        if target:
            held = state.latest(target)
            target_id = held.id if held else ""
        try:
            started = await self._starter.start(pod, container, around, count, target_id)
        except StartProblem as error:
            observed.container_started(_KINDS[kind], error.reason)
            raise
        observed.container_started(_KINDS[kind])
        self._observer.learn_started(pods.uid(pod), started)

    def _restarts_shown(self, pod: Pod, name: str) -> int:
        """The count to go on from when the runtime has lost the container that the API still shows."""
        previous = self._status.previous(pod)
        for key in ("containerStatuses", "initContainerStatuses"):
            for status in previous.get(key) or ():
                if status["name"] == name:
                    return int(status.get("restartCount") or 0)
        return 0

    def _check_backoff(self, pod: Pod, container: Container, ended: str) -> None:
        name = container["name"]
        key = f"{pods.uid(pod)}_{name}_{pods.container_hash(container)}"
        left = self._backoff.remaining(key, ended)
        if left > 0:
            wait = format_duration(self._backoff.delay(key))
            message = f"back-off {wait} restarting failed container={name} pod={pods.describe(pod)}"
            say = f"Back-off restarting failed container {name} in pod {pods.describe(pod)}"
            self._recorder.container(pod, name, "Warning", "BackOff", say)
            raise StartProblem("CrashLoopBackOff", message, left)
        self._backoff.next(key, ended)

    def _note_ends(self, state: PodState) -> None:
        for container in state.containers:
            if container.state is State.EXITED:
                self._backoff.saw_end(container.id)

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
        return RESYNC if seconds is None else max(0.0, memory.began + float(seconds) - self._clock.monotonic())
