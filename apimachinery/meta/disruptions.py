"""The DisruptionAllowed condition of a PodDisruptionBudget, for the two who write it: the controller and evictions.

(staging/src/k8s.io/component-helpers/apps/poddisruptionbudget)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apimachinery.meta import times

Object = dict[str, Any]

ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, SYNC_FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


def with_condition(status: Mapping[str, Any], now: datetime, *, failure: str | None = None) -> Object:
    """Return the budget's status with the condition that follows from its disruptionsAllowed.

    failure: why the budget cannot be computed; nothing is allowed then. lastTransitionTime moves only when the
    condition's status does.
    """
    allowed = failure is None and int(status.get("disruptionsAllowed") or 0) > 0
    reason = SYNC_FAILED if failure is not None else SUFFICIENT if allowed else INSUFFICIENT
    word = "True" if allowed else "False"
    found = list(status.get("conditions") or ())
    current = next((each for each in found if each.get("type") == ALLOWED), None)
    since = current.get("lastTransitionTime") if current is not None and current.get("status") == word else None
    condition: Object = {
        "type": ALLOWED,
        "status": word,
        "reason": reason,
        "message": failure or "",
        "lastTransitionTime": since or times.rfc3339(now),
    }
    if status.get("observedGeneration"):
        condition["observedGeneration"] = status["observedGeneration"]
    if current is None:
        found.append(condition)
    else:
        found[found.index(current)] = condition
    return {**status, "conditions": found}
