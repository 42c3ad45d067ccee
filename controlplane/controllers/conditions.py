"""Conditions of workload status: set, replace, remove, with their timestamps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Condition = dict[str, Any]


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of type `kind`, or None."""
    return next((c for c in conditions if c.get("type") == kind), None)


def without(conditions: Iterable[Condition], kind: str) -> list[Condition]:
    """Return the conditions except the one of type `kind`."""
    return [c for c in conditions if c.get("type") != kind]


def put(
    conditions: Sequence[Condition],
    kind: str,
    status: str,
    reason: str,
    message: str,
    now: str,
    *,
    update_time: bool = False,
) -> list[Condition]:
    """Return the conditions with one set.

    Unchanged when status and reason are those already there (upstream's rule: a new message alone is no change).
    lastTransitionTime moves only with the status. update_time: keep a lastUpdateTime as well.
    """
    current = find(conditions, kind)
    if current is not None and current.get("status") == status and current.get("reason") == reason:
        return list(conditions)
    since = current.get("lastTransitionTime") if current is not None and current.get("status") == status else now
    condition = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
    if update_time:
        condition["lastUpdateTime"] = now
    return [*without(conditions, kind), condition]
