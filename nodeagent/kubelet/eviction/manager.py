"""The eviction loop: look, judge, reclaim from the node, and only then end a pod (eviction_manager.go)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from apimachinery.kit.clock import Clock
from apimachinery.meta import taints
from apimachinery.meta.go_print import quoted
from apimachinery.meta.pod_resources import qos_class
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet import observed, pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.status.compute import Verdict

from . import thresholds as signals
from .local_storage import excess, has_limits
from .measure import Layout
from .plan import Assessment, Memory, Observation, Observations, assess, thresholds_met
from .ranking import REASON, disk_parts, event_annotations, message, rank
from .thresholds import Threshold, with_derived
from .usage import PodUsage

log = logging.getLogger(__name__)

PERIOD = 10.0  # evictionMonitoringPeriod
# A pod that is ended for want of something gets this long (immediateEvictionGracePeriodSeconds).
_GRACE_HARD = 1


class Measure(Protocol):
    """Numbers of the machine. The real one is `measure.Meter`."""

    @property
    def layout(self) -> Layout: ...

    async def observe(self) -> Mapping[str, Observation]: ...

    async def usage(self, active: Sequence[Pod], *, disks: bool) -> Mapping[str, PodUsage]: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What is configured. transition: seconds a condition stays. soft_grace: most seconds for a soft eviction.

    overwrites: a soft eviction gives each pod soft_grace, also one that asks for less (what the gate
    AllowOverwriteTerminationGracePeriodSeconds brings back).
    """

    thresholds: Sequence[Threshold]
    enforce_pods: bool = True
    transition: float = 300.0
    soft_grace: int = 0
    local_storage: bool = True
    overwrites: bool = False

    def grace(self, pod: Pod) -> int:
        """Seconds that a soft eviction gives the pod."""
        own = pod["spec"].get("terminationGracePeriodSeconds")
        return self.soft_grace if own is None or self.overwrites else min(self.soft_grace, int(own))


End = Callable[[Pod, Verdict, int], Awaitable[bool]]
"""End a pod with this verdict and grace (seconds); True when nothing of it is left, False if that takes long."""
Reclaim = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hands:
    """What eviction can do. active: the pods that may run. changed: the conditions are not what they were."""

    active: Callable[[], Sequence[Pod]]
    end: End
    delete_containers: Reclaim
    delete_images: Reclaim
    changed: Callable[[], None]


class EvictionManager:
    """Keeps the node alive. `run` must be under way; `conditions` are the node's pressures now."""

    def __init__(self, policy: Policy, measure: Measure, hands: Hands, recorder: Recorder, clock: Clock) -> None:
        self._policy, self._measure, self._hands = policy, measure, hands
        self._recorder, self._clock = recorder, clock
        self._memory = Memory()
        self.conditions: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look every ten seconds, and at once after a pod was ended, until cancelled."""
        while True:
            ended = False
            try:
                ended = await self.round()
            except (RuntimeCallError, OSError) as error:
                log.error('"Eviction manager: failed to get summary stats" err=%s', quoted(str(error)))
            if not ended:
                await self._clock.sleep(PERIOD)

    async def round(self) -> bool:
        """One look; True when pods were ended. Raises RuntimeCallError, OSError when nothing can be measured."""
        observations = await self._measure.observe()
        found = self._assess(observations)
        if await self._evict_over_limits():
            return True
        if not found.met:
            return False
        worst = found.met[0]
        resource = quoted(worst.resource)
        log.info('"Eviction manager: attempting to reclaim" resourceName=%s', resource)
        self._recorder.node("Warning", "EvictionThresholdMet", f"Attempting to reclaim {worst.resource}")
        if await self._reclaim_from_node(worst):
            told = '"Eviction manager: able to reduce resource pressure without evicting pods." resourceName=%s'
            log.info(told, resource)
            return False
        log.info('"Eviction manager: must evict pod(s) to reclaim" resourceName=%s', resource)
        return await self._evict_one(worst, found.met, observations)

    def refusal(self, pod: Pod) -> str | None:
        """Why a pod may not be started under the present pressure; None when it may."""
        if not self.conditions or pods.is_critical(pod):
            return None
        if self.conditions == ("MemoryPressure",):
            pressure = {"key": taints.MEMORY_PRESSURE, "effect": taints.NO_SCHEDULE}
            tolerated = any(taints.tolerates(t, pressure) for t in pod["spec"].get("tolerations") or ())
            if qos_class(pod) != "BestEffort" or tolerated:
                return None
        return f"The node had condition: [{' '.join(self.conditions)}]. "

    def _thresholds(self) -> list[Threshold]:
        layout = self._measure.layout
        return with_derived(
            self._policy.thresholds,
            enforce_pods=self._policy.enforce_pods,
            dedicated=layout.dedicated,
            split=layout.split,
        )

    def _assess(self, observations: Observations) -> Assessment:
        found = assess(self._thresholds(), observations, self._memory, self._clock.monotonic(), self._policy.transition)
        self._memory = found.memory
        if found.conditions != self.conditions:
            self.conditions = found.conditions
            self._hands.changed()
        return found

    async def _reclaim_from_node(self, worst: Threshold) -> bool:
        """Throw away what nobody needs; True when that was enough."""
        for step in self._steps(worst.signal):
            try:
                await step()
            except RuntimeCallError as error:
                told = '"Eviction manager: unexpected error when attempting to reduce resource pressure"'
                log.info("%s resourceName=%s err=%s", told, quoted(worst.resource), quoted(str(error)))
        if not self._steps(worst.signal):
            return False
        return not thresholds_met(self._thresholds(), await self._measure.observe(), reclaimed=True)

    def _steps(self, signal: str) -> Sequence[Reclaim]:
        if signals.SIGNALS[signal][1] != "DiskPressure":
            return ()
        containers, images = self._hands.delete_containers, self._hands.delete_images
        layout = self._measure.layout
        if not layout.dedicated:
            return (containers, images)
        if layout.split:
            return (images,) if signal.startswith("imagefs.") else (containers,)
        return () if signal.startswith("nodefs.") else (containers, images)

    async def _evict_one(self, worst: Threshold, met: Sequence[Threshold], observations: Observations) -> bool:
        active = self._hands.active()
        if not active:
            log.error('"Eviction manager: eviction thresholds have been met, but no pods are active to evict"')
            return False
        layout, disk = self._measure.layout, signals.SIGNALS[worst.signal][1] == "DiskPressure"
        usages = await self._measure.usage(active, disks=disk)
        parts = disk_parts(worst.signal, dedicated=layout.dedicated, split=layout.split)
        ranked = rank(worst.signal, active, usages, parts)
        names = ",".join(quoted(pods.reference(pod)) for pod in ranked)
        log.info('"Eviction manager: pods ranked for eviction" pods=[%s]', names)
        for pod in ranked:
            usage = usages.get(pods.uid(pod))
            text = message(worst.resource, pod, usage, met, observations)
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "TerminationByKubelet",
                "message": text,
            }
            grace = _GRACE_HARD if worst.hard else self._policy.grace(pod)
            notes = event_annotations(worst.resource, pod, usage)
            if await self._evict(pod, Verdict(REASON, text, (condition,)), grace, worst.signal, notes):
                return True
        log.info('"Eviction manager: unable to evict any pods from the node"')
        return False

    async def _evict_over_limits(self) -> bool:
        limited = [pod for pod in self._hands.active() if has_limits(pod)] if self._policy.local_storage else []
        if not limited:
            return False
        usages, evicted = await self._measure.usage(limited, disks=True), False
        for pod in limited:
            usage = usages.get(pods.uid(pod))
            over = excess(pod, usage, dedicated=self._measure.layout.dedicated) if usage is not None else None
            if over is not None:
                limit, text = over
                evicted = await self._evict(pod, Verdict(REASON, text), _GRACE_HARD, limit) or evicted
        return evicted

    async def _evict(
        self, pod: Pod, verdict: Verdict, grace: int, signal: str, notes: Mapping[str, str] | None = None
    ) -> bool:
        if pods.is_critical(pod):
            log.error('"Eviction manager: cannot evict a critical pod" pod=%s', quoted(pods.reference(pod)))
            return False
        self._recorder.pod(pod, "Warning", REASON, verdict.message, notes)
        if await self._hands.end(pod, verdict, grace):
            log.info('"Eviction manager: pod is evicted successfully" pod=%s', quoted(pods.reference(pod)))
        observed.evicted(signal)
        return True
