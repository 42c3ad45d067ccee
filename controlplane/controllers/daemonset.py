"""DaemonSet: one pod on every node that fits (pkg/controller/daemon). The rules are in daemonset_plan.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.api.catalogue import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.expectations import Expectations
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key, controller_of
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_conflict
from controlplane.controllers.claim import adopters, apply_claim, is_offered, plan_claim
from controlplane.controllers.context import Context, claimable, index_by_controller
from controlplane.controllers.daemonset_backoff import FailureBackoff
from controlplane.controllers.daemonset_plan import (
    DaemonPlan,
    compute_status,
    placement,
    plan_pods,
    plan_rolling,
    render_daemon_pod,
)
from controlplane.controllers.pod_control import DOUBT_PERIOD, PodControl, all_of, is_namespace_terminating, slow_start
from controlplane.controllers.revisions import (
    HASH_LABEL,
    claim_revisions,
    delete_revisions,
    ensure_revision,
    plan_history,
)

Object = dict[str, Any]

NAME = "daemonset-controller"


class DaemonSetController:
    """Reconciles DaemonSets."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        sets, nodes, all_pods = context.informer(DAEMONSETS), context.informer(NODES), context.informer(PODS)
        revisions = context.informer(CONTROLLERREVISIONS)
        index_by_controller(revisions)
        self._sets, self._nodes, self._pods = sets.lister, nodes.lister, all_pods.lister
        self._revisions = revisions.lister
        self._recorder = context.recorder(NAME)
        self._control = PodControl(context.client, self._recorder)
        self._expected = Expectations(context.clock)
        self._failures = FailureBackoff()
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        sets.add_handler(self._enqueue, on_delete=self._enqueue)
        all_pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)
        nodes.add_handler(self._node_changed, self._node_updated, self._node_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Bring one DaemonSet's pods to its nodes and write its status."""
        daemon_set = self._sets.get_by_key(key)
        if daemon_set is None:
            self._expected.forget(key)
            return None
        if daemon_set["spec"].get("selector") == {}:
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            self._recorder.event(daemon_set, "Warning", "SelectingAll", message)
            return None
        if objects.is_deleting(daemon_set):
            return None
        revisions = await claim_revisions(self._client, daemon_set, DAEMONSETS, self._revisions)
        try:
            current = await ensure_revision(self._client, daemon_set, DAEMONSETS, revisions)
        except ApiError as error:
            if is_conflict(error) and "hashing anew" in error.message:
                await self._count_collision(daemon_set)
            raise
        revision_hash = objects.labels(current)[HASH_LABEL]
        owned, nodes = await self._claim(daemon_set), self._nodes.list()
        if not await self._control.certain(daemon_set, owned):
            return DOUBT_PERIOD
        failure: Exception | None = None
        if self._expected.satisfied(key):
            plan = plan_pods(daemon_set, nodes, owned, revision_hash, self._clock.now())
            failure = await self._apply(key, daemon_set, plan, revision_hash)
            rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
            if failure is None and rolling and self._expected.satisfied(key):
                owned = await self._claim(daemon_set)  # what was just done is shown already
                step = plan_rolling(daemon_set, nodes, owned, revision_hash, self._clock.now())
                failure = await self._apply(key, daemon_set, step, revision_hash)
            await self._clean_history(daemon_set, owned, [*revisions, current], current)
        await self._write_status(daemon_set, compute_status(daemon_set, nodes, owned, revision_hash, self._clock.now()))
        if failure is not None:
            raise failure
        return self._next_look(daemon_set, owned)

    async def _claim(self, daemon_set: Object) -> list[Object]:
        selector = _selector(daemon_set)
        candidates = claimable(self._pods, daemon_set, selector)
        claim = plan_claim(daemon_set, selector, candidates)
        return await apply_claim(self._client, daemon_set, DAEMONSETS, PODS, claim)

    async def _apply(self, key: str, daemon_set: Object, plan: DaemonPlan, revision_hash: str) -> Exception | None:
        """Create and delete; pods that keep failing wait out their node's backoff."""
        postponed = {objects.uid(pod) for pod in plan.failed if not self._may_retry(daemon_set, pod)}
        doomed = [pod for pod in plan.delete if objects.uid(pod) not in postponed]
        if not plan.create and not doomed:
            return None
        for pod in doomed:
            if pods.phase(pod) == "Succeeded":
                where = f"{objects.key(pod)} on node {pods.node_name(pod)}"
                message = f"Found succeeded daemon pod {where}, will try to delete it"
                self._recorder.event(daemon_set, "Normal", "SucceededDaemonPod", message)
        self._expected.expect(key, len(plan.create), {objects.uid(pod) for pod in doomed})

        async def delete(pod: Object) -> None:
            try:
                gone = not await self._control.delete(daemon_set, pod)
            except (ApiError, ApiUnreachable):
                self._expected.deletion_observed(key, objects.uid(pod))
                raise
            if gone:
                self._expected.deletion_observed(key, objects.uid(pod))

        refused = await self._create(key, daemon_set, plan.create, revision_hash)
        return await all_of([delete(pod) for pod in doomed]) or refused

    async def _create(self, key: str, daemon_set: Object, nodes: Sequence[str], revision_hash: str) -> Exception | None:
        """Create a pod for each of the nodes; returns the first failure, after which no further are tried."""
        names = iter(nodes)

        async def create() -> None:
            await self._control.create(daemon_set, render_daemon_pod(daemon_set, next(names), revision_hash))

        created, failure = await slow_start(len(nodes), create)
        for _ in range(len(nodes) - created):
            self._expected.creation_observed(key)
        return None if isinstance(failure, ApiError) and is_namespace_terminating(failure) else failure

    def _may_retry(self, daemon_set: Object, pod: Object) -> bool:
        """Count a failed pod of a node once per pod; tell whether its backoff is over."""
        if not self._failures.may_retry(_failure_key(daemon_set, pod), self._clock.monotonic()):
            return False
        message = f"Found failed daemon pod {objects.key(pod)} on node {pods.node_name(pod)}, will try to kill it"
        self._recorder.event(daemon_set, "Warning", "FailedDaemonPod", message)
        return True

    async def _clean_history(
        self, daemon_set: Object, owned: Sequence[Object], revisions: Sequence[Object], current: Object
    ) -> None:
        in_use = {objects.labels(pod).get(HASH_LABEL) for pod in owned}
        live = {objects.name(r) for r in revisions if objects.labels(r).get(HASH_LABEL) in in_use}
        unique = list({objects.uid(r): r for r in revisions}.values())
        limit = int(daemon_set["spec"].get("revisionHistoryLimit", 10))
        await delete_revisions(self._client, plan_history(unique, live | {objects.name(current)}, limit))

    async def _count_collision(self, daemon_set: Object) -> None:
        status = dict(daemon_set.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self._client.update(DAEMONSETS, {**daemon_set, "status": status}, "status")

    async def _write_status(self, daemon_set: Object, status: Object) -> None:
        if status != (daemon_set.get("status") or {}):
            await self._client.update(DAEMONSETS, {**daemon_set, "status": status}, "status")

    def _next_look(self, daemon_set: Object, owned: Sequence[Object]) -> float | None:
        """Return when a ready pod becomes available, or a failed one may be replaced."""
        min_ready, now = int(daemon_set["spec"].get("minReadySeconds") or 0), self._clock.now()
        waits = [wait for pod in owned if (wait := pods.available_in(pod, min_ready, now))]
        mono = self._clock.monotonic()
        for pod in owned:
            if pods.phase(pod) == "Failed" and (left := self._failures.left(_failure_key(daemon_set, pod), mono)):
                waits.append(left)
        return min(waits) if waits else None

    def _enqueue(self, daemon_set: Object) -> None:
        self._queue.add(objects.key(daemon_set))

    def _pod_added(self, pod: Object) -> None:
        key = controller_key(pod, DAEMONSETS)
        if key is not None:
            self._expected.creation_observed(key)
            self._queue.add(key)
        elif controller_of(pod) is None:
            self._offer_orphan(pod)

    def _pod_updated(self, old: Object, new: Object) -> None:
        for key in {controller_key(old, DAEMONSETS), controller_key(new, DAEMONSETS)} - {None}:
            if objects.is_deleting(new) and not objects.is_deleting(old):
                # Its end may be far; meanwhile the other nodes are served.
                self._expected.deletion_observed(str(key), objects.uid(new))
            self._queue.add(str(key))
        if is_offered(old, new):
            self._offer_orphan(new)

    def _offer_orphan(self, pod: Object) -> None:
        """Wake every DaemonSet of the namespace that would adopt the pod."""
        for daemon_set in adopters(self._sets, pod, _selector):
            if not _selector(daemon_set).empty:
                self._enqueue(daemon_set)

    def _pod_deleted(self, pod: Object) -> None:
        key = controller_key(pod, DAEMONSETS)
        if key is not None:
            self._expected.deletion_observed(key, objects.uid(pod))
            self._queue.add(key)

    def _node_changed(self, node: Object) -> None:
        for daemon_set in self._sets.list():
            self._enqueue(daemon_set)

    def _node_updated(self, old: Object, new: Object) -> None:
        """A heartbeat concerns no DaemonSet: only those whose verdict on the node changed."""
        if (objects.labels(old), (old.get("spec") or {}).get("taints")) == (
            objects.labels(new), (new.get("spec") or {}).get("taints"),
        ):  # fmt: skip
            return
        for daemon_set in self._sets.list():
            if placement(daemon_set, old) != placement(daemon_set, new):
                self._enqueue(daemon_set)


def _failure_key(daemon_set: Object, pod: Object) -> tuple[str, int, str]:
    """Another generation of the set may have mended what failed."""
    generation = int((daemon_set.get("status") or {}).get("observedGeneration") or 0)
    return objects.uid(daemon_set), generation, pods.node_name(pod)


def _selector(daemon_set: Object) -> label_selectors.Selector:
    return label_selectors.from_label_selector(daemon_set["spec"].get("selector"))
