"""Which pods are given how long when the node shuts down (nodeshutdown_manager.go). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.kubelet.pods import Pod

_SYSTEM_CRITICAL = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Period:
    """Pods of at least this priority get so many seconds, after those below them."""

    priority: int
    seconds: int


def plan_periods(whole: float, critical: float, by_priority: Sequence[Mapping[str, int]]) -> list[Period]:
    """The periods, lowest priority first; none when the node is to go down at once.

    whole: shutdownGracePeriod; critical: shutdownGracePeriodCriticalPods, a part of it. Seconds.
    """
    if by_priority:
        listed = [Period(int(e.get("priority", 0)), int(e.get("shutdownGracePeriodSeconds", 0))) for e in by_priority]
        return sorted(listed, key=lambda period: period.priority)
    if whole <= 0 or critical > whole:
        return []
    return [Period(0, int(whole - critical)), Period(_SYSTEM_CRITICAL, int(critical))]


def group(periods: Sequence[Period], active: Iterable[Pod]) -> list[tuple[Period, list[Pod]]]:
    """The pods of each period. Those below the lowest priority go with it; a pod between two goes with the lower."""
    groups: list[tuple[Period, list[Pod]]] = [(period, []) for period in periods]
    for pod in active:
        priority = int(pod["spec"].get("priority") or 0)
        index = max((i for i, period in enumerate(periods) if period.priority <= priority), default=0)
        groups[index][1].append(pod)
    return groups


def grace(pod: Pod, period: Period) -> int:
    """Seconds for one pod: its own when that is less."""
    own = pod["spec"].get("terminationGracePeriodSeconds")
    return period.seconds if own is None else min(int(own), period.seconds)
