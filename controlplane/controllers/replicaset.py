"""ReplicaSet and ReplicationController: keep exactly `spec.replicas` pods that match the selector
(pkg/controller/replicaset; pkg/controller/replication is the same but for the kind and the form of its selector).

`plan_scale` says how many pods to create or which to delete; `rank_for_deletion` says which go first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf, log2
from typing import Any

from apimachinery.api.catalogue import PODS, REPLICASETS, REPLICATIONCONTROLLERS
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key, controller_of, is_controlled_by
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods, times
from apimachinery.meta.labels import Selector
from apimachinery.meta.status import ApiError
from controlplane.controllers import conditions
from controlplane.controllers.claim import adopters, apply_claim, is_offered, plan_claim
from controlplane.controllers.context import BY_CONTROLLER, Context, claimable, index_by_controller
from controlplane.controllers.pod_control import (
    BURST,
    DOUBT_PERIOD,
    PodControl,
    all_of,
    is_namespace_terminating,
    render_pod,
    slow_start,
)

Object = dict[str, Any]

NAME = "replicaset-controller"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """create: how many pods to add. delete: the pods to remove."""

    create: int = 0
    delete: tuple[Object, ...] = ()


def plan_scale(replica_set: Object, owned: Sequence[Object], related: Iterable[Object], now: datetime) -> ScalePlan:
    """Compare the pods that count with the pods wanted.

    owned: the set's pods; finished and deleting ones do not count.
    related: pods of all sets of the same Deployment, for the ranking.
    """
    active = [pod for pod in owned if pods.is_active(pod)]
    missing = int(replica_set["spec"].get("replicas", 1)) - len(active)
    if missing >= 0:
        return ScalePlan(create=min(missing, BURST))
    return ScalePlan(delete=tuple(rank_for_deletion(active, related, now)[: min(-missing, BURST)]))


def rank_for_deletion(active: Iterable[Object], related: Iterable[Object], now: datetime) -> list[Object]:
    """Order pods, first to go first: unassigned, pending, not ready, cheap, crowded, youngest, most restarted."""
    per_node = Counter(pods.node_name(pod) for pod in related if pods.is_active(pod))

    def rank(pod: Object) -> tuple[Any, ...]:
        return (
            *_standing(pod),
            _deletion_cost(pod),
            -per_node[pods.node_name(pod)],
            _age_magnitude(_ready_since(pod), now),
            -pods.restarts(pod),
            _age_magnitude(pod["metadata"].get("creationTimestamp"), now),
            objects.uid(pod),
        )

    return sorted(active, key=rank)


def order_by_use(active: Iterable[Object]) -> list[Object]:
    """Order the pods of a Job, first to go first: costs and crowds do not count, and of two ages the lesser decides."""

    def rank(pod: Object) -> tuple[Any, ...]:
        made = _newest_first(pod["metadata"].get("creationTimestamp"))
        return (*_standing(pod), _newest_first(_ready_since(pod)), -pods.restarts(pod), made, objects.uid(pod))

    return sorted(active, key=rank)


def _standing(pod: Object) -> tuple[bool, int, bool]:
    return pods.node_name(pod) != "", _PHASE_RANK.get(pods.phase(pod), 2), pods.is_ready(pod)


def _ready_since(pod: Object) -> str | None:
    return (pods.condition(pod, "Ready") or {}).get("lastTransitionTime") if pods.is_ready(pod) else None


def _newest_first(since: str | None) -> float:
    return -times.parse(since).timestamp() if since else -inf


def _deletion_cost(pod: Object) -> int:
    try:
        return int(objects.annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _age_magnitude(since: str | None, now: datetime) -> int:
    """Return the age as a power of two: nearly equal ages must not decide (KEP-2185)."""
    if not since:
        return -1
    seconds = (now - times.parse(since)).total_seconds()
    return int(log2(seconds)) if seconds >= 1 else 0


def compute_status(
    replica_set: Object,
    owned: Sequence[Object],
    failure: Exception | None,
    plan: ScalePlan,
    now: datetime,
    *,
    all_seen: bool = True,
) -> Object:
    """Return the status that the pods amount to.

    all_seen: `owned` has every pod that was made. Without it the count may be too low, and observedGeneration stays as
    it is, where upstream writes it anyway: a Deployment believes the count of a generation that was observed.
    """
    active = [pod for pod in owned if pods.is_active(pod)]
    template = label_selectors.from_set((replica_set["spec"].get("template") or {}).get("metadata", {}).get("labels"))
    min_ready = int(replica_set["spec"].get("minReadySeconds") or 0)
    old = replica_set.get("status") or {}
    observed, found = old.get("observedGeneration", 0), old.get("conditions") or []
    if failure is not None and conditions.find(found, "ReplicaFailure") is None:
        reason = "FailedCreate" if plan.create else "FailedDelete"
        found = conditions.put(found, "ReplicaFailure", "True", reason, str(failure), times.rfc3339(now))
    elif failure is None:
        found = conditions.without(found, "ReplicaFailure")
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(1 for pod in active if template.matches(objects.labels(pod))),
        "readyReplicas": sum(1 for pod in active if pods.is_ready(pod)),
        "availableReplicas": sum(1 for pod in active if pods.available_in(pod, min_ready, now) == 0),
        "observedGeneration": replica_set["metadata"].get("generation", 0) if all_seen else observed,
    }
    # Go's omitempty: zero counts are left out, except replicas.
    status = {key: value for key, value in status.items() if value or key == "replicas"}
    if found:
        status["conditions"] = found
    return status


class ReplicaSetController:
    """Reconciles ReplicaSets."""

    name = NAME
    resource = REPLICASETS
    component = NAME  # whose events they are

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        sets, all_pods = context.informer(self.resource), context.informer(PODS)
        index_by_controller(sets)
        self._sets, self._pods = sets.lister, all_pods.lister
        self._control = PodControl(context.client, context.recorder(self.component))
        self._expected = Expectations(context.clock)
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(self.name, self.reconcile, self._queue, workers=context.config.workers[self.name])
        sets.add_handler(self._enqueue, on_delete=self._enqueue)
        all_pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    def selector_of(self, replica_set: Object) -> Selector:
        """Which pods it may have."""
        return label_selectors.from_label_selector(replica_set["spec"].get("selector"))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Bring one ReplicaSet to its number of pods and write its status."""
        replica_set = self._sets.get_by_key(key)
        if replica_set is None:
            self._expected.forget(key)
            return None
        owned = await self._claim(replica_set)
        if not await self._control.certain(replica_set, owned):
            return DOUBT_PERIOD
        now = self._clock.now()
        plan, failure, all_seen = ScalePlan(), None, self._expected.satisfied(key)
        if all_seen and not objects.is_deleting(replica_set):
            plan = plan_scale(replica_set, owned, self._related(replica_set, owned), now)
            failure = await self._apply(key, replica_set, plan)
        status = compute_status(replica_set, owned, failure, plan, now, all_seen=all_seen)
        await self._write_status(replica_set, status)
        if failure is not None:
            raise failure
        return self._next_available(replica_set, owned)

    async def _claim(self, replica_set: Object) -> list[Object]:
        selector = self.selector_of(replica_set)
        # Ours by reference, and orphans of the namespace: what others own need not be looked at.
        found = claimable(self._pods, replica_set, selector)
        candidates = [pod for pod in found if is_controlled_by(pod, replica_set) or pods.is_active(pod)]
        return await apply_claim(
            self._client, replica_set, self.resource, PODS, plan_claim(replica_set, selector, candidates)
        )

    def _related(self, replica_set: Object, owned: list[Object]) -> list[Object]:
        owner = controller_of(replica_set)
        if owner is None:
            return owned
        siblings = self._sets.by_index(BY_CONTROLLER, owner["uid"])
        return [pod for sibling in siblings for pod in self._pods.by_index(BY_CONTROLLER, objects.uid(sibling))]

    async def _apply(self, key: str, replica_set: Object, plan: ScalePlan) -> Exception | None:
        if plan.create:
            self._expected.expect_creations(key, plan.create)
            pod = render_pod(replica_set["spec"].get("template") or {}, replica_set, self.resource)

            async def create() -> None:
                await self._control.create(replica_set, pod)

            created, failure = await slow_start(plan.create, create)
            for _ in range(plan.create - created):
                self._expected.creation_observed(key)
            if isinstance(failure, ApiError) and is_namespace_terminating(failure):
                return None
            return failure
        if plan.delete:
            self._expected.expect_deletions(key, {objects.uid(pod) for pod in plan.delete})

            async def delete(pod: Object) -> None:
                try:
                    gone = not await self._control.delete(replica_set, pod)
                except (ApiError, ApiUnreachable):
                    self._expected.deletion_observed(key, objects.uid(pod))
                    raise
                if gone:
                    self._expected.deletion_observed(key, objects.uid(pod))

            return await all_of([delete(pod) for pod in plan.delete])
        return None

    async def _write_status(self, replica_set: Object, status: Object) -> None:
        if status != (replica_set.get("status") or {}):
            await self._client.update(self.resource, {**replica_set, "status": status}, "status")

    def _next_available(self, replica_set: Object, owned: list[Object]) -> float | None:
        """Return when the next ready pod will have been ready for minReadySeconds."""
        min_ready, now = int(replica_set["spec"].get("minReadySeconds") or 0), self._clock.now()
        waits = [wait for pod in owned if (wait := pods.available_in(pod, min_ready, now))]
        return min(waits) if waits else None

    def _enqueue(self, replica_set: Object) -> None:
        self._queue.add(objects.key(replica_set))

    def _pod_added(self, pod: Object) -> None:
        key = controller_key(pod, self.resource)
        if objects.is_deleting(pod):
            # Seen first when already on its way out, after a restart of ours.
            self._pod_deleted(pod)
        elif key is not None:
            self._expected.creation_observed(key)
            self._queue.add(key)
        elif controller_of(pod) is None:
            self._offer_orphan(pod)

    def _pod_updated(self, old: Object, new: Object) -> None:
        if objects.is_deleting(new) and not objects.is_deleting(old):
            # It stops counting now, not when its grace period has passed.
            self._pod_deleted(new)
            return
        for key in {controller_key(old, self.resource), controller_key(new, self.resource)} - {None}:
            self._queue.add(str(key))
        if is_offered(old, new):
            self._offer_orphan(new)

    def _pod_deleted(self, pod: Object) -> None:
        key = controller_key(pod, self.resource)
        if key is not None:
            self._expected.deletion_observed(key, objects.uid(pod))
            self._queue.add(key)

    def _offer_orphan(self, pod: Object) -> None:
        """Wake every set of the namespace that would adopt the pod."""
        for replica_set in adopters(self._sets, pod, self.selector_of):
            self._enqueue(replica_set)


class ReplicationControllerController(ReplicaSetController):
    """Reconciles ReplicationControllers."""

    name = "replicationcontroller-controller"
    resource = REPLICATIONCONTROLLERS
    component = "replication-controller"

    def selector_of(self, replica_set: Object) -> Selector:
        """A plain set of labels; an empty one selects nothing."""
        wanted = replica_set["spec"].get("selector")
        return label_selectors.from_set(wanted) if wanted else label_selectors.NOTHING
