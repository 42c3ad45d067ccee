"""What a Deployment's status says: counts, and the conditions Available, Progressing and ReplicaFailure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apimachinery.meta import objects, times
from controlplane.controllers import conditions
from controlplane.controllers.conditions import Condition
from controlplane.controllers.deployment_plan import counted, max_unavailable, total_size, wanted

Object = dict[str, Any]

# progressDeadlineSeconds of a Deployment that wants none (MaxInt32).
NO_DEADLINE = 2**31 - 1
CREATE_ERROR = "ReplicaSetCreateError"


def has_deadline(deployment: Object) -> bool:
    """True when the rollout may time out."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and int(seconds) != NO_DEADLINE


def compute_status(deployment: Object, sets: Sequence[Object], new: Object | None, now: datetime) -> Object:
    """Return counts and the Available condition; other conditions are carried over."""
    old = deployment.get("status") or {}
    available = counted(sets, "availableReplicas")
    counts = {
        "replicas": counted(sets, "replicas"),
        "updatedReplicas": counted([new], "replicas") if new is not None else 0,
        "readyReplicas": counted(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total_size(sets) - available),
    }
    # Go's omitempty: zero counts are left out.
    status: Object = {key: value for key, value in counts.items() if value}
    status["observedGeneration"] = deployment["metadata"].get("generation", 0)
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    found = list(old.get("conditions") or [])
    stamp = times.rfc3339(now)
    if available >= wanted(deployment) - max_unavailable(deployment):
        answer = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        answer = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = conditions.put(found, "Available", *answer, stamp, update_time=True)
    return status


def is_complete(deployment: Object, status: Object) -> bool:
    """True when every replica is of the new template and available, and none is left over."""
    want = wanted(deployment)
    return (
        status.get("updatedReplicas", 0) == want
        and status.get("replicas", 0) == want
        and status.get("availableReplicas", 0) == want
        and int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    )


def is_progressing(deployment: Object, status: Object) -> bool:
    """True when the counts moved towards completion since the last status."""
    old = deployment.get("status") or {}
    old_old = old.get("replicas", 0) - old.get("updatedReplicas", 0)
    new_old = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    return bool(
        status.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or new_old < old_old
        or status.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or status.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def seconds_to_deadline(deployment: Object, status: Object, now: datetime) -> float | None:
    """Return how long until a rollout without progress times out (0: it has); None when it cannot time out."""
    current = conditions.find(status.get("conditions") or [], "Progressing")
    if current is None or not has_deadline(deployment) or current.get("reason") in (
        "NewReplicaSetAvailable", "DeploymentPaused",
    ):  # fmt: skip
        return None
    if current.get("reason") == "ProgressDeadlineExceeded":
        return 0.0
    since = times.parse(current.get("lastUpdateTime") or times.rfc3339(now))
    return max(0.0, int(deployment["spec"]["progressDeadlineSeconds"]) - (now - since).total_seconds())


def with_progress(
    deployment: Object, status: Object, sets: Sequence[Object], new: Object | None, now: datetime
) -> Object:
    """Return the status with its Progressing and ReplicaFailure conditions brought up to date."""
    found: list[Condition] = list(status.get("conditions") or [])
    stamp = times.rfc3339(now)
    if not has_deadline(deployment):
        found = conditions.without(found, "Progressing")
    current = conditions.find(found, "Progressing")
    done_before = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == "NewReplicaSetAvailable"
    )
    subject = f'ReplicaSet "{objects.name(new)}"' if new else f'Deployment "{objects.name(deployment)}"'
    if has_deadline(deployment) and not done_before:
        if is_complete(deployment, status):
            message = f"{subject} has successfully progressed."
            found = conditions.put(
                found, "Progressing", "True", "NewReplicaSetAvailable", message, stamp, update_time=True
            )
        elif is_progressing(deployment, status):
            since = current["lastTransitionTime"] if current and current.get("status") == "True" else stamp
            moved: Condition = {
                "type": "Progressing",
                "status": "True",
                "reason": "ReplicaSetUpdated",
                "message": f"{subject} is progressing.",
                "lastTransitionTime": since,
                "lastUpdateTime": stamp,
            }
            found = [*conditions.without(found, "Progressing"), moved]
        elif seconds_to_deadline(deployment, {**status, "conditions": found}, now) == 0.0:
            message = f"{subject} has timed out progressing."
            found = conditions.put(
                found, "Progressing", "False", "ProgressDeadlineExceeded", message, stamp, update_time=True
            )
    failure = _failure(sets, new)
    found = conditions.without(found, "ReplicaFailure") if failure is None else _with_failure(found, failure, stamp)
    return {**status, "conditions": found}


def _failure(sets: Sequence[Object], new: Object | None) -> Condition | None:
    for each in ([new] if new is not None else []) + list(sets):
        failure = conditions.find((each.get("status") or {}).get("conditions") or [], "ReplicaFailure")
        if failure is not None:
            return failure
    return None


def _with_failure(found: list[Condition], failure: Condition, stamp: str) -> list[Condition]:
    status, reason, message = failure["status"], failure.get("reason", ""), failure.get("message", "")
    since = failure.get("lastTransitionTime") or stamp  # since when the set says so
    return conditions.put(found, "ReplicaFailure", status, reason, message, since, update_time=True)


def pausing_condition(deployment: Object, now: datetime) -> list[Condition] | None:
    """Return the conditions after a pause or resume was noticed, or None when nothing changed."""
    if not has_deadline(deployment):
        return None
    found = list((deployment.get("status") or {}).get("conditions") or [])
    current = conditions.find(found, "Progressing")
    if current is not None and current.get("reason") == "ProgressDeadlineExceeded":
        return None
    paused = current is not None and current.get("reason") == "DeploymentPaused"
    wants_pause = bool(deployment["spec"].get("paused"))
    if wants_pause == paused:
        return None
    reason, message = (
        ("DeploymentPaused", "Deployment is paused") if wants_pause else ("DeploymentResumed", "Deployment is resumed")
    )
    return conditions.put(found, "Progressing", "Unknown", reason, message, times.rfc3339(now), update_time=True)


def with_create_error(deployment: Object, message: str, now: datetime) -> Object | None:
    """Return the status that tells that the new ReplicaSet cannot be made, or None when there is nothing to write."""
    before = deployment.get("status") or {}
    found = list(before.get("conditions") or [])
    if not has_deadline(deployment):
        return None
    updated = conditions.put(found, "Progressing", "False", CREATE_ERROR, message, times.rfc3339(now), update_time=True)
    return {**before, "conditions": updated} if updated != found else None
