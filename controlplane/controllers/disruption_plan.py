"""How many pods a PodDisruptionBudget may lose now. Pure (pkg/controller/disruption)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apimachinery.meta import objects, pods, times
from apimachinery.meta.disruptions import with_condition
from controlplane.controllers.deployment_plan import scaled_value

Object = dict[str, Any]

DELETION_TIMEOUT = timedelta(minutes=2)
"""How long an eviction may take from its approval to the pod's deletionTimestamp; then the approval is void."""
STALE_TARGET = timedelta(minutes=2)
"""How long a pod may be a disruption's target without being deleted."""


@dataclass(frozen=True, slots=True)
class Disrupted:
    """pods: approved evictions still under way, with their times. overdue: pods whose approval ran out.

    recheck: seconds until the next approval runs out, or None.
    """

    pods: dict[str, str]
    overdue: list[Object]
    recheck: float | None


def needs_scale(pdb: Object) -> bool:
    """Whether the budget counts from the size of the pods' controllers instead of from the pods."""
    spec = pdb.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def compute_expected(pdb: Object, matching: int, scale: int) -> tuple[int, int]:
    """Return (expectedPods, desiredHealthy). scale: sum of the controllers' replicas, if `needs_scale`.

    Raises ValueError for a text that is no percentage.
    """
    spec = pdb.get("spec") or {}
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None:
        return scale, max(0, scale - scaled_value(most, scale, round_up=True))
    if isinstance(least, str):
        return scale, scaled_value(least, scale, round_up=True)
    return (matching, int(least)) if least is not None else (0, 0)


def plan_disrupted(pdb: Object, matching: Iterable[Object], now: datetime) -> Disrupted:
    """Sort the evictions that were approved: deleted (forgotten), under way, or never carried out."""
    approved: Mapping[str, str] = (pdb.get("status") or {}).get("disruptedPods") or {}
    found, waits = Disrupted({}, [], None), []
    for pod in matching:
        at = approved.get(objects.name(pod))
        if at is None or objects.is_deleting(pod):
            continue
        left = times.parse(at) + DELETION_TIMEOUT - now
        if left < timedelta(0):
            found.overdue.append(pod)
        else:
            found.pods[objects.name(pod)] = at
            waits.append(left.total_seconds())
    return Disrupted(found.pods, found.overdue, min(waits, default=None))


def count_healthy(matching: Iterable[Object], disrupted: Mapping[str, str]) -> int:
    """How many pods are ready and stay: neither deleted nor about to be."""
    return sum(
        pods.is_ready(pod) and not objects.is_deleting(pod) and objects.name(pod) not in disrupted for pod in matching
    )


def plan_status(pdb: Object, matching: Sequence[Object], scale: int, now: datetime) -> tuple[Object | None, Disrupted]:
    """Return the status to write (None when it says so already) and what became of approved evictions.

    A budget that expects no pod allows nothing: its first pods may appear before we see them. Raises ValueError.
    """
    expected, desired = compute_expected(pdb, len(matching), scale)
    disrupted = plan_disrupted(pdb, matching, now)
    healthy = count_healthy(matching, disrupted.pods)
    before = pdb.get("status") or {}
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": max(0, healthy - desired) if expected > 0 else 0,
        "observedGeneration": int(pdb["metadata"].get("generation") or 0),
    }
    if disrupted.pods:
        status["disruptedPods"] = disrupted.pods
    if before.get("conditions"):
        status["conditions"] = before["conditions"]
    status = with_condition(status, now)
    return (status if status != before else None), disrupted


def plan_failure(pdb: Object, message: str, now: datetime) -> Object | None:
    """Return the status of a budget that cannot be computed, which allows nothing; None when it says so already."""
    before = pdb.get("status") or {}
    status = with_condition({**before, "disruptionsAllowed": 0}, now, failure=message)
    return status if status != before else None


def stale_target_in(pod: Object, now: datetime) -> float | None:
    """Return the seconds until the pod's DisruptionTarget condition is void, 0 when it is; None for pods without one.

    The kubelet's own stays: its pod may take long to end.
    """
    if objects.is_deleting(pod) or pods.is_terminal(pod):
        return None
    target = pods.condition(pod, "DisruptionTarget")
    if target is None or target.get("status") != "True" or target.get("reason") == "TerminationByKubelet":
        return None
    since = target.get("lastTransitionTime")
    if not since:
        return 0.0
    return max(0.0, (times.parse(since) + STALE_TARGET - now).total_seconds())


def concerns_budgets(old: Object, new: Object) -> bool:
    """Whether a change of a pod may change what its budgets allow."""
    return any(
        look(old) != look(new)
        for look in (
            pods.is_ready,
            objects.is_deleting,
            objects.labels,
            lambda pod: pod["metadata"].get("ownerReferences"),
        )
    )
