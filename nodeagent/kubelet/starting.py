"""Starting the containers of a pod, each when its wait is over."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection

from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import aggregate
from apimachinery.meta.times import format_duration
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet import observed, pods
from nodeagent.kubelet.actions import Actions
from nodeagent.kubelet.backoff import CrashBackoff
from nodeagent.kubelet.pods import Container, Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.start import Starter, StartProblem, Surroundings
from nodeagent.kubelet.runtime.state import PodState, State
from nodeagent.kubelet.status.containers import Waiting
from nodeagent.kubelet.status.manager import StatusManager

log = logging.getLogger(__name__)

# The wait after a failed pass (upstream's backOffPeriod).
RETRY = 10.0
# What the metrics call the kinds of containers.
_KINDS = {"init": "init_container", "regular": "container", "ephemeral": "ephemeral_container"}


class Starting:
    """Starts what a pass has planned. backoff: the waits of what ends again and again."""

    def __init__(
        self,
        runtime: RuntimeService,
        observer: Observer,
        starter: Starter,
        status: StatusManager,
        recorder: Recorder,
        backoff: CrashBackoff,
    ) -> None:
        self._runtime, self._observer, self._starter = runtime, observer, starter
        self._status, self._recorder, self._backoff = status, recorder, backoff

    async def start_all(
        self,
        pod: Pod,
        state: PodState,
        plan: Actions,
        around: Surroundings,
        waiting: dict[str, Waiting],
        ended: Collection[str],
    ) -> float:
        """Start what is planned, one after the other; returns how long until the next pass, at the latest.

        waiting: why containers do not run, by name; kept. ended: ids of the containers that had ended before this pass
        ended any: what failed its probe is started again at once, unless the one before it ended just now.
        """
        again, failed = math.inf, list[str]()
        # What comes next waits for an init container, but not for a sidecar that ends again and again.
        awaited = {container["name"] for container in pods.init_containers(pod) if not pods.is_sidecar(container)}
        for name in [*plan.start_ephemeral, *plan.start_init, *plan.start]:
            found = pods.find_container(pod, name)
            assert found is not None
            try:
                await self._start_one(pod, *found, state, around, ended)
                waiting.pop(name, None)
            except StartProblem as error:
                waiting[name] = Waiting(error.reason, str(error))
                failed.append(f'failed to "StartContainer" for "{name}" with {error.reason}: {quoted(str(error))}')
                again = min(again, RETRY if error.retry_in is None else error.retry_in)
                if name in awaited:
                    break
        if failed:
            # All that a person has where it is the API server that does not start.
            log.error('"Error syncing pod, skipping" err=%s %s', quoted(aggregate(failed)), pods.logged(pod))
        return again

    async def _start_one(
        self,
        pod: Pod,
        kind: pods.Kind,
        container: Container,
        state: PodState,
        around: Surroundings,
        ended: Collection[str],
    ) -> None:
        name = container["name"]
        last = next((found.id for found in state.containers if found.name == name and found.id in ended), None)
        if last is not None:
            self._check_backoff(pod, container, last)
        latest = state.latest(name)
        count = 0
        if latest is not None:
            count = latest.restart_count + 1
            if latest.state is State.EXITED and latest.reason == "StartError":
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

    def note_ends(self, state: PodState) -> None:
        """Waits count from when an end was first seen."""
        for container in state.containers:
            if container.state is State.EXITED:
                self._backoff.saw_end(container.id)

    def forget(self, uid: str, containers: set[str]) -> None:
        """The pod is gone, and these containers of it."""
        self._backoff.forget(uid, containers)
