"""From what the machine has to what is to be done: conditions, and the threshold to act upon. Pure.

Upstream's eviction_manager.go, synchronize. Times are monotonic seconds: a jump of the wall clock neither ends a
pressure nor a grace period.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .thresholds import SIGNALS, Threshold, by_urgency


@dataclass(frozen=True, slots=True)
class Observation:
    """What there is of a signal: bytes, inodes or processes."""

    available: int
    capacity: int


Observations = Mapping[str, Observation]


@dataclass(frozen=True, slots=True)
class Memory:
    """What one round leaves for the next.

    first: since when a threshold has been met. acted: those that drove eviction. conditions: when last seen.
    """

    first: Mapping[Threshold, float] = field(default_factory=dict)
    acted: Sequence[Threshold] = ()
    conditions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assessment:
    """conditions: of the node, sorted. met: the thresholds whose grace is over, the most urgent first."""

    conditions: tuple[str, ...]
    met: tuple[Threshold, ...]
    memory: Memory


def thresholds_met(
    thresholds: Iterable[Threshold], observations: Observations, *, reclaimed: bool = False
) -> list[Threshold]:
    """Those of which less is available than asked for. reclaimed: and less than the minimum to reclaim on top."""
    found = []
    for threshold in thresholds:
        seen = observations.get(threshold.signal)
        if seen is None:
            continue
        wanted = threshold.amount.of(seen.capacity)
        if reclaimed and threshold.reclaim is not None:
            wanted += threshold.reclaim.of(seen.capacity)
        if seen.available < wanted:
            found.append(threshold)
    return found


def assess(
    thresholds: Sequence[Threshold], observations: Observations, before: Memory, now: float, transition: float
) -> Assessment:
    """One round. transition: seconds for which a condition stays after it was last observed."""
    met = thresholds_met(thresholds, observations)
    met += [t for t in thresholds_met(before.acted, observations, reclaimed=True) if t not in met]
    first = {threshold: before.first.get(threshold, now) for threshold in met}
    seen = {**before.conditions, **{SIGNALS[threshold.signal][1]: now for threshold in met}}
    held = {condition: at for condition, at in seen.items() if at == now or now - at < transition}
    due = by_urgency(threshold for threshold, since in first.items() if now - since >= threshold.grace)
    return Assessment(tuple(sorted(held)), tuple(due), Memory(first, tuple(due), held))
