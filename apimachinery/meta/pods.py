"""Predicates over Pod objects that every component asks: finished, ready, available, its conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from apimachinery.meta import times

Object = Mapping[str, Any]

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a static pod's mirror: the UID under which its node runs it."""


def phase(pod: Object) -> str:
    """Return status.phase; an unset phase reads as Pending, as the API server defaults it."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminal(pod: Object) -> bool:
    """Tell whether every container has ended for good (phase Succeeded or Failed)."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Tell whether the pod counts as a replica: neither finished nor being deleted."""
    return not is_terminal(pod) and not pod["metadata"].get("deletionTimestamp")


def condition(obj: Object, kind: str) -> dict[str, Any] | None:
    """Return the condition of type `kind` of any object with status.conditions, or None."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            return dict(found)
    return None


def is_ready(obj: Object) -> bool:
    """Tell whether the Ready condition of a pod, or of a node, is True."""
    ready = condition(obj, "Ready")
    return ready is not None and ready.get("status") == "True"


def available_in(pod: Object, min_ready_seconds: int, now: datetime) -> float | None:
    """Return the seconds until the pod counts as available: 0 when it does now, None when it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = ready.get("lastTransitionTime")
    if not since:
        return None
    return max(0.0, min_ready_seconds - (now - times.parse(since)).total_seconds())


def node_name(pod: Object) -> str:
    """Return the node that the pod is bound to, or an empty string."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def containers(pod: Object) -> Iterator[Mapping[str, Any]]:
    """Yield init containers, then containers."""
    spec = pod.get("spec") or {}
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def restarts(pod: Object) -> int:
    """Return the largest restart count over the pod's containers."""
    return max(
        (int(s.get("restartCount") or 0) for s in (pod.get("status") or {}).get("containerStatuses") or ()), default=0
    )
