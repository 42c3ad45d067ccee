"""What must be done to make the runtime look like the pod: a pure function of both.

The rules are those of upstream's computePodActions (pkg/kubelet/kuberuntime/kuberuntime_manager.go), sidecars (KEP-753)
included. Backoff is not looked at here: a start that is planned may still have to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State


@dataclass(frozen=True, slots=True)
class Kill:
    """A container to end before anything is started. reason: why, in one word (for the grace period)."""

    container: ContainerState
    message: str
    reason: str = ""


@dataclass(slots=True)
class Actions:
    """The plan. Names are container names of the spec, in the order in which to start them."""

    kill_pod: bool = False
    create_sandbox: bool = False
    sandbox_id: str = ""
    attempt: int = 0
    start_init: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    start_ephemeral: list[str] = field(default_factory=list)
    kill: dict[str, Kill] = field(default_factory=dict)

    @property
    def replaces_sandbox(self) -> bool:
        """Whether the pod had a sandbox, alive or dead, that another is made for."""
        return self.create_sandbox and bool(self.sandbox_id)

    @property
    def nothing(self) -> bool:
        return not (
            self.kill_pod or self.create_sandbox or self.start_init or self.start or self.start_ephemeral or self.kill
        )


@dataclass(frozen=True, slots=True)
class ProbeView:
    """What the probes last said of a container id: True passed, False failed, None not known (or no such probe)."""

    liveness: Callable[[str], bool | None] = lambda _: None
    startup: Callable[[str], bool | None] = lambda _: None


NO_PROBES = ProbeView()


def sandbox_changed(pod: Pod, state: PodState) -> tuple[bool, int, str]:
    """(whether a new sandbox is needed, its attempt, the id of the newest there is)."""
    newest = state.sandbox
    if newest is None:
        return True, 0, ""
    if sum(sandbox.ready for sandbox in state.sandboxes) > 1 or not newest.ready:
        return True, newest.attempt + 1, newest.id
    if newest.host_network != pods.host_network(pod):
        return True, newest.attempt + 1, ""
    if not newest.host_network and not newest.ips:
        return True, newest.attempt + 1, newest.id
    return False, newest.attempt, newest.id


def compute_actions(pod: Pod, state: PodState, probes: ProbeView = NO_PROBES, resized: Collection[str] = ()) -> Actions:
    """The plan for a pod that is to run. An empty plan means that the runtime already is as it should be.

    resized: names of containers that get other resources by a restart.
    """
    changed, attempt, sandbox_id = sandbox_changed(pod, state)
    plan = Actions(kill_pod=changed, create_sandbox=changed, sandbox_id=sandbox_id, attempt=attempt)
    if changed:
        _plan_new_sandbox(pod, state, plan)
        return plan

    plan.start_ephemeral = [c["name"] for c in pods.ephemeral_containers(pod) if state.latest(c["name"]) is None]
    initialized = _plan_init(pod, state, probes, plan)
    if plan.kill_pod or not initialized:
        return plan

    kept = 0
    for container in pods.regular_containers(pod):
        status = state.latest(container["name"])
        if status is None or status.state is not State.RUNNING:
            if should_restart(pod, container, status):
                plan.start.append(container["name"])
                if status is not None and status.state is State.UNKNOWN:
                    message = 'Container is in "unknown" state, try killing it before restart'
                    plan.kill[status.id] = Kill(status, message, "Unknown")
            continue
        kill = _why_kill(container, status, probes)
        if kill is None and container["name"] in resized:
            kill = Kill(status, f"Container {container['name']} resize requires restart")
        if kill is None:
            kept += 1
            continue
        restart = pods.restart_policy(pod) != "Never"
        if status.hash != pods.container_hash(container) and status.hash:
            restart = True
        if restart:
            kill = Kill(status, f"{kill.message}, will be restarted", kill.reason)
            plan.start.append(container["name"])
        plan.kill[status.id] = kill

    if kept == 0 and not plan.start:
        plan.kill_pod = True
        plan.start_init = []
    return plan


def should_restart(pod: Pod, container: Container, status: ContainerState | None) -> bool:
    """Whether a container that does not run is to be started, by the pod's restart policy."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    if status is None or status.state is State.UNKNOWN or status.state is State.CREATED:
        return True
    if status.state is State.RUNNING:
        return False
    policy = "Always" if pods.is_sidecar(container) else pods.restart_policy(pod)
    if policy == "Never":
        return False
    return not (policy == "OnFailure" and status.exit_code == 0)


def _plan_new_sandbox(pod: Pod, state: PodState, plan: Actions) -> None:
    policy = pods.restart_policy(pod)
    if policy == "Never" and plan.attempt != 0 and state.containers:
        # A pod that ran once is not run again; the old sandbox is only killed.
        plan.create_sandbox = False
        return
    to_start = [
        container["name"]
        for container in pods.regular_containers(pod)
        if not (policy == "OnFailure" and _succeeded(state.latest(container["name"])))
    ]
    if not to_start and any(state.latest(c["name"]) for c in pods.regular_containers(pod)):
        plan.create_sandbox = False
        return
    init = pods.init_containers(pod)
    if init:
        plan.start_init = [init[0]["name"]]
        return
    plan.start = to_start


def _succeeded(status: ContainerState | None) -> bool:
    return status is not None and status.state is State.EXITED and status.exit_code == 0


def _why_kill(container: Mapping[str, Any], status: ContainerState, probes: ProbeView) -> Kill | None:
    name = container["name"]
    if status.hash and status.hash != pods.container_hash(container):
        return Kill(status, f"Container {name} definition changed")
    if probes.liveness(status.id) is False:
        return Kill(status, f"Container {name} failed liveness probe", "LivenessProbe")
    if probes.startup(status.id) is False:
        return Kill(status, f"Container {name} failed startup probe", "StartupProbe")
    return None


def _has_started(container: Container, status: ContainerState, probes: ProbeView) -> bool:
    """Whether a running sidecar is past its startup probe, so that what comes after it may start."""
    return "startupProbe" not in container or probes.startup(status.id) is True


def _why_kill_sidecar(container: Container, status: ContainerState, probes: ProbeView) -> Kill | None:
    """Until a sidecar has started only its startup probe ends it."""
    about = f"Init container {container['name']}"
    if not _has_started(container, status, probes):
        failed = probes.startup(status.id) is False
        return Kill(status, f"{about} failed startup probe", "StartupProbe") if failed else None
    if status.hash and status.hash != pods.container_hash(container):
        return Kill(status, f"{about} definition changed")
    if probes.liveness(status.id) is False:
        return Kill(status, f"{about} failed liveness probe", "LivenessProbe")
    return None


def _init_failed(status: ContainerState) -> bool:
    """Whether an init container has ended badly: also when a process beside its first one ran out of memory."""
    return status.exit_code != 0 or status.reason == "OOMKilled"


def _initialized_before(pod: Pod, state: PodState) -> bool:
    """Whether a regular container has been created in the present sandbox: then init containers are past."""
    sandbox = state.sandbox
    for container in pods.regular_containers(pod):
        status = state.latest(container["name"])
        if status is None:
            continue
        if status.state is not State.EXITED:
            return True
        if sandbox is not None and status.sandbox_id == sandbox.id:
            return True
    return False


def _plan_init(pod: Pod, state: PodState, probes: ProbeView, plan: Actions) -> bool:
    """Plan init containers and sidecars; returns whether the regular containers may run.

    Walks backwards, because completed init containers may already have been removed: the last one that is found tells
    how far the pod has come.
    """
    init = pods.init_containers(pod)
    if not init:
        return True
    initialized = _initialized_before(pod, state)
    reached = initialized
    restartable = pods.restart_policy(pod) != "Never"
    starts: list[str] = []
    for index in range(len(init) - 1, -1, -1):
        container = init[index]
        sidecar = pods.is_sidecar(container)
        status = _current(state, container["name"], initialized)
        if status is None:
            if reached and sidecar:
                starts.append(container["name"])
            continue
        if reached and not sidecar:
            continue
        following = init[index + 1]["name"] if index + 1 < len(init) else None
        if status.state is State.RUNNING:
            if sidecar and _has_started(container, status, probes):
                if following is None:
                    initialized = True
                elif not reached:
                    starts.append(following)
            kill = _why_kill_sidecar(container, status, probes) if sidecar else None
            if kill is not None:
                plan.kill[status.id] = kill
                starts.append(container["name"])
        elif status.state is State.EXITED and sidecar:
            starts.append(container["name"])
        elif status.state is State.EXITED and not _init_failed(status):
            if following is None:
                initialized = True
            else:
                starts.append(following)
        elif status.state is not State.CREATED:
            if not restartable and not sidecar:
                plan.kill_pod, plan.start_init = True, []
                return False
            if status.state is State.UNKNOWN:
                message = 'Init container is in "unknown" state, try killing it before restart'
                plan.kill[status.id] = Kill(status, message, "Unknown")
            starts.append(container["name"])
        else:
            # Created and never started: the agent died in between, or the start failed.
            starts.append(container["name"])
        reached = True
    if not reached:
        starts.append(init[0]["name"])
    plan.start_init = list(reversed(starts))
    return initialized


def _current(state: PodState, name: str, initialized: bool) -> ContainerState | None:
    """The newest container of that name, of the present sandbox only: a new sandbox runs its init containers again."""
    status = state.latest(name)
    if status is None or initialized or state.sandbox is None or status.sandbox_id in ("", state.sandbox.id):
        return status
    return None
