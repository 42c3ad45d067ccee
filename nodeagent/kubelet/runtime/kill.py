"""Ending containers and pods: preStop hook, signal, grace, sandbox (kuberuntime_container.go)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import aggregate
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet import pods
from nodeagent.kubelet.lifecycle import HookFailed, run_hook
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder

from . import labels
from .ending_order import EndingOrder
from .state import ContainerState, PodState, State

log = logging.getLogger(__name__)

# However little is left, the process gets this long to end by itself (minimumGracePeriodInSeconds).
_GRACE_MIN = 2


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container is to end. grace: seconds, None for what the pod says. reason: of a failed probe."""

    message: str = ""
    reason: str = ""
    grace: int | None = None


class KillFailed(RuntimeCallError):
    """Something of a pod could not be ended. The text names what, as PodSyncResult's of upstream."""

    def __init__(self, problems: Sequence[tuple[str, str, RuntimeCallError]]) -> None:
        first = problems[0][2]
        super().__init__(first.method, first.code, first.message)
        self._text = aggregate(
            f"failed to {quoted(action)} for {quoted(target)} with {action}Error: {quoted(str(why))}"
            for action, target, why in problems
        )

    def __str__(self) -> str:
        return self._text


class Killer:
    """Ends containers. Everything may be repeated; what is gone already is success."""

    def __init__(self, runtime: RuntimeService, clock: Clock, recorder: Recorder) -> None:
        self._runtime, self._clock, self._recorder = runtime, clock, recorder

    async def kill_container(
        self,
        pod: Pod | None,
        container: ContainerState,
        ending: Ending,
        ips: Sequence[str],
        order: EndingOrder | None = None,
    ) -> None:
        """preStop, the container's turn, SIGTERM, and SIGKILL after what is left of the grace. Raises RuntimeCallError.

        pod: None when unknown by now. ips: its addresses, for the hook. order: of those that are ended together.
        """
        spec = pods.find_container(pod, container.name) if pod is not None else None
        grace = self._grace(pod, spec[1] if spec else None, container, ending)
        if pod is not None:
            message = ending.message or f"Stopping container {container.name}"
            self._recorder.container(pod, container.name, "Normal", "Killing", message)
        handler = self._pre_stop(spec[1] if spec else None, container)
        began = self._clock.monotonic()
        if handler and grace > 0:
            await self._run_pre_stop(pod, spec[1] if spec else {}, container, handler, ips, grace)
        if order is not None:
            await order.turn(container.name, grace - self._since(began))
        # Nobody is killed without a warning, however little of the grace is left.
        await self._runtime.stop_container(container.id, max(_GRACE_MIN, grace - self._since(began)))
        if order is not None:
            order.ended(container.name)

    def _since(self, began: float) -> int:
        return int(self._clock.monotonic() - began)

    async def kill_pod(self, pod: Pod | None, state: PodState, grace: int | None = None) -> None:
        """End every container, then stop every sandbox. Raises KillFailed.

        preStop hooks run at once, those of sidecars too; the signal comes to sidecars last, in reverse order.
        """
        alive = [c for c in state.containers if c.state in (State.RUNNING, State.UNKNOWN)]
        order = None
        if pod is not None and any(pods.is_sidecar(container) for container in pods.init_containers(pod)):
            order = EndingOrder(pod, {container.name for container in alive}, self._clock)
        ending = Ending(grace=grace)
        ends = [self.kill_container(pod, each, ending, state.ips, order) for each in alive]
        failed = [("KillContainer", each.name, why) for each, why in zip(alive, await _failures(ends), strict=True)]
        stops = [self._runtime.stop_pod_sandbox(sandbox.id) for sandbox in state.sandboxes]
        # What could not be ended by itself may end with its sandbox.
        failed += [("KillPodSandbox", state.uid, why) for why in await _failures(stops)]
        if problems := [(action, target, why) for action, target, why in failed if why is not None]:
            raise KillFailed(problems)

    async def remove_pod(self, state: PodState) -> None:
        """Remove every container and sandbox of a pod that has ended. Raises RuntimeCallError."""
        await _all([self._runtime.remove_container(container.id) for container in state.containers])
        await _all([self._runtime.remove_pod_sandbox(sandbox.id) for sandbox in state.sandboxes])

    def _grace(self, pod: Pod | None, spec: Mapping[str, Any] | None, container: ContainerState, ending: Ending) -> int:
        if ending.grace is not None:
            return ending.grace
        if pod is None:
            text = container.annotations.get(labels.POD_GRACE, "")
            return int(text) if text.isdigit() else 30
        probe = {"LivenessProbe": "livenessProbe", "StartupProbe": "startupProbe"}.get(ending.reason)
        if probe and spec is not None:
            asked = (spec.get(probe) or {}).get("terminationGracePeriodSeconds")
            if asked is not None:
                return int(asked)
        return pods.grace_period(pod)

    def _pre_stop(self, spec: Mapping[str, Any] | None, container: ContainerState) -> Mapping[str, Any] | None:
        if spec is not None:
            handler: Mapping[str, Any] | None = (spec.get("lifecycle") or {}).get("preStop")
            return handler
        try:
            kept: Mapping[str, Any] = json.loads(container.annotations.get(labels.PRE_STOP) or "null")
        except ValueError:
            return None
        return kept

    async def _run_pre_stop(
        self,
        pod: Pod | None,
        spec: Mapping[str, Any],
        container: ContainerState,
        handler: Mapping[str, Any],
        ips: Sequence[str],
        grace: int,
    ) -> None:
        ip = ips[0] if ips else ""

        def say(type: str, reason: str, message: str) -> None:
            if pod is not None:
                self._recorder.pod(pod, type, reason, message)

        try:
            async with asyncio.timeout(grace):
                whose = pods.describe(pod) if pod is not None else container.name
                await run_hook(
                    self._runtime, self._clock, handler, container.id, spec, ip, whose=whose, say=say, timeout=grace
                )
        except HookFailed as error:
            log.warning("PreStop hook of container %s failed: %s", container.name, error)
            self._pre_stop_failed(pod, container)
        except TimeoutError:
            log.warning("PreStop hook of container %s did not complete in %d seconds", container.name, grace)
            # What is not only a pause ends badly with the container, of which upstream tells.
            if "sleep" not in handler:
                self._pre_stop_failed(pod, container)

    def _pre_stop_failed(self, pod: Pod | None, container: ContainerState) -> None:
        if pod is not None:
            self._recorder.container(pod, container.name, "Warning", "FailedPreStopHook", "PreStopHook failed")


async def _failures(calls: Sequence[Awaitable[None]]) -> list[RuntimeCallError | None]:
    """Run all to their end; what each failed with. Raises what is not of the runtime."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, RuntimeCallError):
            raise result
    return [result if isinstance(result, RuntimeCallError) else None for result in results]


async def _all(calls: Sequence[Awaitable[None]]) -> None:
    """Run all to their end, then raise the first failure."""
    for failure in await _failures(calls):
        if failure is not None:
            raise failure
