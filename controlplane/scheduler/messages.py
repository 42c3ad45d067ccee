"""The sentences of FailedScheduling events, in upstream's words (framework.FitError)."""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.controller.series_recorder import NOTE_MAX
from controlplane.scheduler.framework import Verdict

NO_NODES = "no nodes available to schedule pods"
_CUT = " ..."


def summarize(total: int, refusals: Mapping[str, Verdict]) -> str:
    """Count the nodes per reason: `0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.`"""
    counts: dict[str, int] = {}
    for verdict in refusals.values():
        for reason in verdict.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    head = f"0/{total} nodes are available"
    for verdict in refusals.values():
        if verdict.whole_pod:
            return f"{head}: {', '.join(verdict.reasons)}."
    if not counts:
        return head + ":"
    return f"{head}: {', '.join(sorted(f'{count} {reason}' for reason, count in counts.items()))}."


def fit_error(total: int, refusals: Mapping[str, Verdict], preemption: str) -> str:
    """Say why no node took the pod, and why preemption did not help.

    preemption: the reason that preemption gave, or an empty string when it made room.
    """
    if total == 0:
        return NO_NODES
    summary = summarize(total, refusals)
    return f"{summary} preemption: {preemption}" if preemption else summary


def truncated(message: str) -> str:
    """As much of it as an event may say. The condition of the pod says the whole."""
    said = message.encode()
    return message if len(said) <= NOTE_MAX else said[: NOTE_MAX - len(_CUT)].decode(errors="ignore") + _CUT
