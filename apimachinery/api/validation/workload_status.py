"""The counts in the status of Deployments, ReplicaSets, DaemonSets, StatefulSets and ReplicationControllers
(pkg/apis/apps/validation)."""

from apimachinery.api.validation.checks import Object, nonnegative
from apimachinery.meta.paths import Path, Problem, invalid

# In the order in which upstream looks at them.
_DEPLOYMENT = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "collisionCount",
)
_REPLICA_SET = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
_STATEFUL_SET = (
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
)
_DAEMON_SET = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


def replicas_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a Deployment's status: not negative, parts not above the whole."""
    return _replicas_status(new, old, _DEPLOYMENT, ("updated", "ready", "available"), "readyReplicas")


def replica_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a ReplicaSet's or a ReplicationController's status."""
    return _replicas_status(new, None, _REPLICA_SET, ("fullyLabeled", "ready", "available"), "readyReplicas")


def stateful_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a StatefulSet's status."""
    parts = ("ready", "current", "updated", "available")
    return _replicas_status(new, old, _STATEFUL_SET, parts, "status.readyReplicas")


def _replicas_status(
    new: Object, old: Object | None, counts: tuple[str, ...], parts: tuple[str, ...], ready: str
) -> list[Problem]:
    status, path = new.get("status") or {}, Path("status")
    problems = _counts(status, counts, path)
    total = status.get("replicas") or 0
    for name in (f"{part}Replicas" for part in parts):
        value = status.get(name) or 0
        if value > total:
            problems.append(invalid(path.child(name), value, "cannot be greater than status.replicas"))
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        problems.append(invalid(path.child("availableReplicas"), available, f"cannot be greater than {ready}"))
    return problems + _collisions(status, old, path)


def daemon_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a DaemonSet's status."""
    status, path = new.get("status") or {}, Path("status")
    return _counts(status, _DAEMON_SET, path) + _collisions(status, old, path)


def _counts(status: Object, names: tuple[str, ...], path: Path) -> list[Problem]:
    return [problem for name in names for problem in nonnegative(status.get(name), path.child(name))]


def _collisions(status: Object, old: Object | None, path: Path) -> list[Problem]:
    before, count = ((old or {}).get("status") or {}).get("collisionCount"), status.get("collisionCount") or 0
    if before is None or count >= before:
        return []
    return [invalid(path.child("collisionCount"), count, "cannot be decremented")]
