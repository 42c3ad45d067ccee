"""The kubelet's own admission: one pod after the other, so that two never count on the same room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.status.compute import Verdict

from . import preemption
from .predicates import Refusal, misplaced, shortages, wrong_system
from .sysctls import forbidden_sysctl

log = logging.getLogger(__name__)

Check = Callable[[Pod], Refusal | None]

_OF_THE_NODE = ("NodeAffinity", "TaintToleration")  # refusals for what its object says


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What admission reads of the node. known: the Node as last read; fresh: read anew, None when that fails."""

    name: str
    allocatable: Callable[[], Mapping[str, int]]
    known: Callable[[], Mapping[str, Any]]
    fresh: Callable[[], Awaitable[Mapping[str, Any] | None]]


class Admission:
    """Says whether this node takes a pod. others: every pod that has a place here; end: ends one of them.

    checks: what speaks against a pod before its fit is looked at (pressure, shutdown).
    """

    def __init__(
        self,
        node: NodeFacts,
        others: Callable[[], Sequence[Pod]],
        end: Callable[[Pod, Verdict], Awaitable[None]],
        checks: Sequence[Check],
        unsafe_sysctls: Sequence[str],
        recorder: Recorder,
    ) -> None:
        self._node, self._others, self._end = node, others, end
        self._checks, self._unsafe, self._recorder = checks, unsafe_sysctls, recorder
        self._turn = asyncio.Lock()

    async def admit(self, pod: Pod) -> Verdict | None:
        """None when the pod may be started, else the verdict with which it fails; an event tells."""
        async with self._turn:
            refusal = await self._refusal(pod)
            if refusal is None:
                return None
            log.warning("Failed to admit pod %s: %s: %s", pods.describe(pod), refusal.reason, refusal.message)
            self._recorder.pod(pod, "Warning", refusal.reason, refusal.message)
            return Verdict(refusal.reason, f"Pod was rejected: {refusal.message}", refused=True)

    async def _refusal(self, pod: Pod) -> Refusal | None:
        for check in self._checks:
            refusal = check(pod)
            if refusal is not None:
                return refusal
        refusal = forbidden_sysctl(pod, self._unsafe) or wrong_system(pod)
        return refusal or await self._unfit(pod)

    async def _unfit(self, pod: Pod) -> Refusal | None:
        others = [other for other in self._others() if pods.uid(other) != pods.uid(pod)]
        elsewhere = misplaced(pod, self._node.name, self._node.known(), others)
        if (
            elsewhere is not None
            and elsewhere.reason in _OF_THE_NODE
            and (node := await self._node.fresh()) is not None
        ):
            # A label may be newer than what we know, and a taint gone; and a restarted kubelet knows little at first.
            elsewhere = misplaced(pod, self._node.name, node, others)
        short = shortages(pod, others, self._node.allocatable())
        if not pods.is_critical(pod) or not short:
            return short[0].refusal() if short else elsewhere
        if elsewhere is not None:
            return elsewhere
        doomed = preemption.plan_preemption(pod, others, short)
        if doomed is None:
            lacking = preemption.beyond_help(pod, others, short)
            missing = ", ".join(f"(res: {resource}, q: {amount})" for resource, amount in lacking.items())
            return Refusal(
                "UnexpectedAdmissionError",
                "Unexpected error while attempting to recover from admission failure: preemption: error finding a set "
                f"of pods to preempt: no set of running pods found to reclaim resources: [{missing}, ]",
            )
        await asyncio.gather(*(self._preempt(other) for other in doomed))
        return None

    async def _preempt(self, pod: Pod) -> None:
        self._recorder.pod(pod, "Warning", preemption.REASON, preemption.MESSAGE)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": preemption.CONDITION,
        }
        await self._end(pod, Verdict(preemption.REASON, preemption.MESSAGE, (condition,)))
