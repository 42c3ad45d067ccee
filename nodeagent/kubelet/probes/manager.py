"""A task per probe of each running container; its last word decides readiness and restarts (pkg/kubelet/prober)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.kit.clock import Clock
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet import pods
from nodeagent.kubelet.actions import ProbeView
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.state import ContainerState, PodState, State

from . import observed
from .check import Answer, check

log = logging.getLogger(__name__)

_KINDS = {"startup": "startupProbe", "readiness": "readinessProbe", "liveness": "livenessProbe"}
_ENDING = {"readiness": "readinessProbe"}


@dataclass(frozen=True, slots=True)
class _Key:
    uid: str
    container_id: str
    kind: str


class ProbeManager:
    """All probes of the node.

    changed: called with a pod's uid when a verdict changed. shown: the status of a container that the API shows, by the
    pod's uid and the container's id as the API has it; empty when it shows none.
    """

    def __init__(
        self,
        runtime: RuntimeService,
        recorder: Recorder,
        clock: Clock,
        changed: Callable[[str], None],
        host_ip: Callable[[], str],
        shown: Callable[[str, str], Mapping[str, Any]],
    ) -> None:
        self._runtime, self._recorder, self._clock, self._changed = runtime, recorder, clock, changed
        self._host_ip, self._shown = host_ip, shown
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._said: dict[tuple[str, str], bool] = {}
        self._uid_of: dict[str, str] = {}
        self._started: dict[str, asyncio.Event] = {}
        self._counted: dict[str, set[observed.Where]] = {}
        self._ending: set[str] = set()
        self.view = ProbeView(
            liveness=lambda container_id: self._said.get((container_id, "liveness")),
            startup=lambda container_id: self._said.get((container_id, "startup")),
        )

    def is_started(self, container: Container, state: ContainerState) -> bool:
        """Whether the startup probe, if there is one, has passed; until it has spoken, what the API shows."""
        return "startupProbe" not in container or self._verdict(state, "startup", "started")

    def is_ready(self, container: Container, state: ContainerState) -> bool:
        """Whether the readiness probe, if there is one, says so.

        Until it has spoken, a container that the API shows as ready stays it: a restart of the agent is no outage.
        """
        return "readinessProbe" not in container or self._verdict(state, "readiness", "ready")

    def _verdict(self, state: ContainerState, kind: str, field: str) -> bool:
        said = self._said.get((state.id, kind))
        if said is None:
            said = bool(self._shown(self._uid_of.get(state.id, ""), state.container_id).get(field))
        return said

    def sync(self, pod: Pod, state: PodState) -> None:
        """Have a task for each probe of what runs, and none for what does not; of an ending pod only for readiness."""
        uid = pods.uid(pod)
        kinds = _ENDING if uid in self._ending else _KINDS
        wanted: set[_Key] = set()
        for kind, container in pods.all_containers(pod):
            if kind == "ephemeral" or (kind == "init" and not pods.is_sidecar(container)):
                continue
            latest = state.latest(container["name"])
            if latest is None or latest.state is not State.RUNNING:
                continue
            self._uid_of[latest.id] = uid
            for probe_kind, field in kinds.items():
                if field not in container:
                    continue
                key = _Key(uid, latest.id, probe_kind)
                wanted.add(key)
                if key not in self._tasks:
                    ip = self._host_ip() if pods.host_network(pod) else (state.ips or ("",))[0]
                    self._tasks[key] = asyncio.create_task(self._run(key, pod, container, latest, ip))
        for key in [key for key in self._tasks if key.uid == uid and key not in wanted]:
            self._stop(key)

    def stop_for_termination(self, uid: str) -> None:
        """The pod is ending: it may still become unready, but must not be restarted. What has started stays started."""
        self._ending.add(uid)
        for key in [key for key in self._tasks if key.uid == uid and key.kind not in _ENDING]:
            self._tasks.pop(key).cancel()

    def remove(self, uid: str) -> None:
        """The pod has ended."""
        for key in [key for key in self._tasks if key.uid == uid]:
            self._stop(key)
        for container_id in [known for known, owner in self._uid_of.items() if owner == uid]:
            del self._uid_of[container_id]
            self._started.pop(container_id, None)
            for kind in _KINDS:
                self._said.pop((container_id, kind), None)
        self._ending.discard(uid)
        for where in self._counted.pop(uid, ()):
            observed.forget(where)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self._stop(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, key: _Key) -> None:
        self._tasks.pop(key).cancel()
        self._said.pop((key.container_id, key.kind), None)
        if key.kind == "startup":
            self._started.pop(key.container_id, None)

    async def _run(self, key: _Key, pod: Pod, container: Container, state: ContainerState, ip: str) -> None:
        probe: Mapping[str, Any] = container[_KINDS[key.kind]]
        period = float(probe.get("periodSeconds") or 10)
        if key.kind != "startup" and not self.is_started(container, state):
            await self._started.setdefault(key.container_id, asyncio.Event()).wait()
        await self._clock.sleep(self._delay(probe, state))
        passed = failed = 0
        while True:
            answer = await self._ask(probe, container, key, ip, self._where(key, pod, container))
            if answer.warning:
                message = f"{key.kind.capitalize()} probe warning: {answer.message}"
                self._recorder.container(pod, container["name"], "Warning", "ProbeWarning", message)
            elif not answer.passed:
                how = f"errored and resulted in {answer.state} state" if answer.unknown else "failed"
                message = f"{key.kind.capitalize()} probe {how}: {answer.message}"
                self._recorder.container(pod, container["name"], "Warning", "Unhealthy", message)
            if answer.unknown:
                # It counts neither way: a runtime that is away is no reason to restart what runs.
                await self._clock.sleep(period)
                continue
            passed, failed = (passed + 1, 0) if answer.passed else (0, failed + 1)
            if passed >= int(probe.get("successThreshold") or 1):
                self._say(key, True)
                if key.kind == "startup":
                    self._started.setdefault(key.container_id, asyncio.Event()).set()
                    return
            elif failed >= int(probe.get("failureThreshold") or 3):
                self._say(key, False)
                if key.kind != "readiness":
                    # Nothing more to ask: this container is being replaced.
                    return
            await self._clock.sleep(period)

    def _delay(self, probe: Mapping[str, Any], state: ContainerState) -> float:
        """What is left of initialDelaySeconds, which counts from the container's start: neither a restart of the agent
        nor a startup probe makes it begin anew."""
        delay = float(probe.get("initialDelaySeconds") or 0)
        if state.started_at is None:
            return delay
        age = (self._clock.now() - state.started_at).total_seconds()
        return max(0.0, delay - max(0.0, age))

    async def _ask(
        self, probe: Mapping[str, Any], container: Container, key: _Key, ip: str, where: observed.Where
    ) -> Answer:
        began = self._clock.monotonic()
        try:
            answer = await check(self._runtime, probe, container, key.container_id, ip)
        except Exception as error:
            log.exception("probe of container %s", container["name"])
            answer = Answer(False, str(error), unknown=True)
        if not answer.unknown:
            observed.probed(where, self._clock.monotonic() - began, passed=answer.passed)
        return answer

    def _where(self, key: _Key, pod: Pod, container: Container) -> observed.Where:
        """What the probe is counted as: also the container's next life is, until the pod is gone."""
        metadata = pod["metadata"]
        where = observed.Where(
            container["name"], metadata["namespace"], metadata["name"], key.uid, key.kind.capitalize()
        )
        self._counted.setdefault(key.uid, set()).add(where)
        return where

    def _say(self, key: _Key, verdict: bool) -> None:
        name = (key.container_id, key.kind)
        if self._said.get(name) != verdict:
            self._said[name] = verdict
            self._changed(key.uid)
