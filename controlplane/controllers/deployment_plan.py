"""The arithmetic of Deployments, without I/O: which ReplicaSet is new, how far to scale which, what the status says.

Follows pkg/controller/deployment (rolling.go, recreate.go, progress.go) and its util package. A plan is a list of
writes; what a later write depends on (a scaled-up set) is seen in the next reconciliation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from apimachinery.api.catalogue import DEPLOYMENTS
from apimachinery.controller.owners import owner_reference
from apimachinery.meta import objects
from controlplane.controllers.template_hash import compute_hash, meaningful

Object = dict[str, Any]

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_MOST_HISTORY = 2000
"""Bytes that the annotation revision-history may have; the oldest revisions go first."""
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Set a ReplicaSet's size; annotations record what it was computed from."""

    replica_set: Object
    to: int

    @property
    def by(self) -> int:
        """How many replicas come (positive) or go (negative)."""
        return self.to - size(self.replica_set)


def size(replica_set: Object) -> int:
    """spec.replicas of a ReplicaSet."""
    return int(replica_set["spec"].get("replicas", 1))


def total_size(sets: Iterable[Object]) -> int:
    """The sum of spec.replicas."""
    return sum(size(each) for each in sets)


def counted(sets: Iterable[Object], field: str) -> int:
    """The sum of a status count, such as availableReplicas."""
    return sum(int((each.get("status") or {}).get(field) or 0) for each in sets)


def wanted(deployment: Object) -> int:
    """spec.replicas of the Deployment."""
    return int(deployment["spec"].get("replicas", 1))


def is_rolling(deployment: Object) -> bool:
    """True for strategy RollingUpdate, the default."""
    strategy = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def resolve_fenceposts(deployment: Object) -> tuple[int, int]:
    """Return (maxSurge, maxUnavailable) in pods: a surge rounds up, unavailability down, and not both are zero."""
    if not is_rolling(deployment):
        return 0, wanted(deployment) if wanted(deployment) > 0 else 1
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = scaled_value(rolling.get("maxSurge", "25%"), wanted(deployment), round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), wanted(deployment), round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def scaled_value(value: int | str, of: int, *, round_up: bool) -> int:
    """Resolve an int-or-percent. Raises ValueError for a string that is no percentage."""
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"invalid value for IntOrString: {value!r} is not a percentage")
    share = int(value[:-1]) * of / 100
    return ceil(share) if round_up else floor(share)


def max_unavailable(deployment: Object) -> int:
    """How many of the wanted replicas may be missing during an update."""
    if not is_rolling(deployment) or wanted(deployment) == 0:
        return 0
    return min(resolve_fenceposts(deployment)[1], wanted(deployment))


def max_surge(deployment: Object) -> int:
    """How many replicas may exist beyond the wanted ones."""
    return resolve_fenceposts(deployment)[0] if is_rolling(deployment) else 0


def find_new(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """Return the oldest ReplicaSet with the Deployment's pod template."""
    template = meaningful(_template(deployment))
    same = [each for each in sets if meaningful(_template(each)) == template]
    return min(same, key=_age, default=None)


def split(deployment: Object, sets: Sequence[Object]) -> tuple[Object | None, list[Object]]:
    """Return the new ReplicaSet (or None) and the old ones, oldest first."""
    new = find_new(deployment, sets)
    old = [each for each in sets if new is None or objects.uid(each) != objects.uid(new)]
    return new, sorted(old, key=_age)


def _age(obj: Object) -> tuple[str, str]:
    return (obj["metadata"].get("creationTimestamp") or "", objects.name(obj))


def _template(obj: Object) -> Object:
    """The pod template without our own label."""
    template: Object = obj["spec"].get("template") or {}
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    return {**template, "metadata": metadata}


def revision(obj: Object) -> int:
    """The revision annotation; 0 when absent or unparsable."""
    text = objects.annotations(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def render_replica_set(deployment: Object, old: Sequence[Object], replicas: int) -> Object:
    """Return the ReplicaSet for the Deployment's present template, not yet created."""
    collisions = (deployment.get("status") or {}).get("collisionCount")
    pod_hash = compute_hash(_template(deployment), collisions)
    template = deepcopy(_template(deployment))
    template["metadata"]["labels"][HASH_LABEL] = pod_hash
    template["metadata"].pop("creationTimestamp", None)
    selector = deepcopy(deployment["spec"].get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: pod_hash}
    spec: Object = {"replicas": replicas, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{objects.name(deployment)}-{pod_hash}",
            "namespace": objects.namespace(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": new_annotations(deployment, {}, next_revision(old)),
            "ownerReferences": [owner_reference(deployment, DEPLOYMENTS)],
        },
        "spec": spec,
    }


def next_revision(old: Iterable[Object]) -> int:
    """One more than the highest revision of the old ReplicaSets."""
    return max((revision(each) for each in old), default=0) + 1


def new_annotations(deployment: Object, current: Mapping[str, str], to_revision: int) -> dict[str, str]:
    """Return the annotations of the new ReplicaSet: the Deployment's, its revision, and what sizes are based on."""
    annotations = dict(current)
    annotations.update({k: v for k, v in objects.annotations(deployment).items() if k not in _NOT_COPIED})
    before = annotations.get(REVISION, "")
    if not before.isdigit() or int(before) < to_revision:
        annotations[REVISION] = str(to_revision)
        if before.isdigit() and int(before) > 0:
            annotations[REVISION_HISTORY] = _with_revision(annotations.get(REVISION_HISTORY, ""), before)
    return {**annotations, **size_annotations(deployment)}


def _with_revision(history: str, last: str) -> str:
    """Append to the history of revisions what still has room."""
    every = [*(each for each in history.split(",") if each), last]
    while len(every) > 1 and len(",".join(every)) > _MOST_HISTORY:
        every.pop(0)
    return ",".join(every)


def size_annotations(deployment: Object) -> dict[str, str]:
    """What proportional scaling compares with later."""
    desired = wanted(deployment)
    return {DESIRED: str(desired), MAXIMUM: str(desired + max_surge(deployment))}


def new_size(deployment: Object, sets: Sequence[Object], new_replicas: int) -> int:
    """Return how large the new ReplicaSet may be now: within wanted + maxSurge over all sets."""
    if not is_rolling(deployment):
        return wanted(deployment)
    limit = wanted(deployment) + max_surge(deployment)
    # A set that was made smaller still has its pods until its status says otherwise, and a status from before that may
    # have counted too few: it is waited for, which takes no longer than its controller's next turn. Upstream counts
    # sizes alone, and a ReplicaSet controller that is late then leaves more pods than maxSurge allows.
    if any(map(_is_behind, sets)):
        return new_replicas
    current = sum(max(size(each), counted([each], "replicas")) for each in sets)
    if current >= limit:
        return new_replicas
    return new_replicas + min(limit - current, wanted(deployment) - new_replicas)


def _is_behind(replica_set: Object) -> bool:
    """Whether a set was changed since its status was written."""
    observed = int((replica_set.get("status") or {}).get("observedGeneration") or 0)
    return observed < int(replica_set["metadata"].get("generation") or 0)


def is_scaling_event(deployment: Object, sets: Sequence[Object]) -> bool:
    """True when the Deployment's size changed since its sets were last sized."""
    for each in sets:
        recorded = objects.annotations(each).get(DESIRED, "")
        if size(each) > 0 and recorded.isdigit() and int(recorded) != wanted(deployment):
            return True
    return False


def plan_rolling(deployment: Object, new: Object, old: Sequence[Object]) -> list[Scale]:
    """Return the next step of a rolling update: scale up the new set, or else scale down the old ones."""
    sets = [*old, new]
    if size(new) > wanted(deployment):
        return [Scale(new, wanted(deployment))]
    if size(new) < wanted(deployment):
        target = new_size(deployment, sets, size(new))
        if target != size(new):
            return [Scale(new, target)]
    return plan_old_sets(deployment, new, old)


def plan_old_sets(deployment: Object, new: Object, old: Sequence[Object]) -> list[Scale]:
    """Scale old sets down as far as availability permits: broken pods first, then the oldest sets."""
    live = [each for each in old if size(each) > 0]
    if not live:
        return []
    minimum = wanted(deployment) - max_unavailable(deployment)
    new_unavailable = size(new) - _staying([new])
    budget = total_size([*live, new]) - minimum - new_unavailable
    if budget <= 0:
        return []
    sizes = {objects.uid(each): size(each) for each in live}
    # Pods that are not available can go at once: taking them costs no availability.
    cleaned = 0
    for each in sorted(live, key=_age):
        broken = min(budget - cleaned, size(each) - _staying([each]))
        if broken > 0:
            sizes[objects.uid(each)] -= broken
            cleaned += broken
    spare = _staying([*live, new]) - minimum
    for each in sorted(live, key=_age):
        if spare <= 0:
            break
        down = min(sizes[objects.uid(each)], spare)
        sizes[objects.uid(each)] -= down
        spare -= down
    return [Scale(each, sizes[objects.uid(each)]) for each in live if sizes[objects.uid(each)] != size(each)]


def _staying(sets: Iterable[Object]) -> int:
    """Available pods that no set is about to delete: a status may be older than the size, and count pods that go."""
    return sum(min(size(each), counted([each], "availableReplicas")) for each in sets)


def plan_proportional(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Scale]:
    """Spread a change of size over the sets (a scaling during a rollout, or while paused).

    A step to the present size is a write of the annotations, which must follow the Deployment's size.
    """
    sets = [*old, *([new] if new is not None else [])]
    active = [each for each in sets if size(each) > 0]
    if len(active) <= 1:
        target = active[0] if active else (new or max(old, key=_age, default=None))
        return [] if target is None else [Scale(target, wanted(deployment))]
    if new is not None and _is_saturated(deployment, new):
        return [Scale(new, size(new)), *(Scale(each, 0) for each in old if size(each) > 0)]
    if not is_rolling(deployment):
        return [Scale(each, 0) for each in old if size(each) > 0]
    allowed = wanted(deployment) + max_surge(deployment) if wanted(deployment) > 0 else 0
    to_add = allowed - total_size(active)
    # The largest first; on a tie the newer when growing, the older when shrinking.
    newest_first = sorted(active, key=_age, reverse=to_add > 0)
    ordered = sorted(newest_first, key=lambda each: -size(each))
    sizes, added = {}, 0
    for each in ordered:
        fraction = _fraction(deployment, each, to_add, added) if to_add else 0
        sizes[objects.uid(each)] = size(each) + fraction
        added += fraction
    leftover = to_add - added
    first = objects.uid(ordered[0])
    sizes[first] = max(0, sizes[first] + leftover)
    return [Scale(each, sizes[objects.uid(each)]) for each in ordered]


def _is_saturated(deployment: Object, new: Object) -> bool:
    """Tell whether the new set alone is the Deployment, and was when it was sized: not while it is being scaled."""
    available, recorded = counted([new], "availableReplicas"), objects.annotations(new).get(DESIRED)
    return available == size(new) == wanted(deployment) and recorded == str(wanted(deployment))


def _fraction(deployment: Object, replica_set: Object, to_add: int, added: int) -> int:
    """Return the part of `to_add` that falls to this set, by its share of the old maximum."""
    recorded = objects.annotations(replica_set).get(MAXIMUM, "")
    if to_add == added:
        return 0
    if wanted(deployment) == 0:
        return -size(replica_set)
    if not recorded.isdigit() or int(recorded) == 0:
        # Without a record of the old maximum the present total stands in.
        recorded = str((deployment.get("status") or {}).get("replicas") or 0)
        if int(recorded) == 0:
            return 0
    limit = wanted(deployment) + max_surge(deployment)
    exact = size(replica_set) * limit / int(recorded)
    rounded = floor(exact + 0.5)
    change = rounded - size(replica_set)
    allowed = to_add - added
    return min(change, allowed) if to_add > 0 else max(change, allowed)


def plan_recreate(new: Object | None, old: Sequence[Object], deployment: Object, *, old_pods_left: bool) -> list[Scale]:
    """Scale every old set to zero; once their pods have gone, the new one up."""
    down = [Scale(each, 0) for each in old if size(each) > 0]
    if down or old_pods_left or new is None or size(new) == wanted(deployment):
        return down
    return [Scale(new, wanted(deployment))]


def plan_cleanup(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Return the old sets beyond revisionHistoryLimit, lowest revision first; only such as are empty and done."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    cleanable = sorted((each for each in old if not objects.is_deleting(each)), key=revision)
    surplus = cleanable[: max(0, len(cleanable) - int(limit))]
    return [each for each in surplus if size(each) == 0 and counted([each], "replicas") == 0 and not _is_behind(each)]
