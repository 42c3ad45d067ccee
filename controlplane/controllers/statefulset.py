"""StatefulSet: pods with stable names and volumes, in order (pkg/controller/statefulset)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.api.catalogue import CONTROLLERREVISIONS, PERSISTENTVOLUMECLAIMS, PODS, STATEFULSETS
from apimachinery.client.rest import ApiUnreachable
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key, controller_of, is_controlled_by
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods
from apimachinery.meta.paths import aggregate
from apimachinery.meta.status import ApiError, is_already_exists, is_conflict, is_not_found
from controlplane.controllers.claim import apply_claim, plan_claim
from controlplane.controllers.context import Context, claimable, index_by_controller
from controlplane.controllers.pod_control import is_namespace_terminating
from controlplane.controllers.revisions import claim_revisions, delete_revisions, ensure_revision, plan_history
from controlplane.controllers.statefulset_claims import (
    claim_names,
    claim_prefix,
    has_other_controller,
    is_stale,
    plan_owners,
    templates,
)
from controlplane.controllers.statefulset_plan import (
    POD_NAME,
    StatefulPlan,
    compute_status,
    identity,
    ordinal,
    plan_step,
    render_claims,
    render_stateful_pod,
    revision_of,
    wanted_ordinals,
)

Object = dict[str, Any]

NAME = "statefulset-controller"


class StatefulSetController:
    """Reconciles StatefulSets. Names are fixed, so the API server itself refuses a second pod of one ordinal."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        sets, all_pods = context.informer(STATEFULSETS), context.informer(PODS)
        revisions = context.informer(CONTROLLERREVISIONS)
        index_by_controller(revisions)
        claims = context.informer(PERSISTENTVOLUMECLAIMS)
        self._sets, self._pods, self._revisions = sets.lister, all_pods.lister, revisions.lister
        self._claims = claims.lister
        self._recorder = context.recorder(NAME)
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        sets.add_handler(self._enqueue, on_delete=self._enqueue)
        all_pods.add_handler(self._pod_changed, lambda old, new: self._pod_changed(new), self._pod_changed)
        claims.add_handler(lambda _: None, lambda old, new: None, self._claim_gone)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Take the next step of one StatefulSet and write its status."""
        stateful_set = self._sets.get_by_key(key)
        if stateful_set is None:
            return None
        if objects.is_deleting(stateful_set):
            await self._tell_of_the_rest(stateful_set)
            return None
        revisions = await claim_revisions(self._client, stateful_set, STATEFULSETS, self._revisions)
        try:
            update = await ensure_revision(self._client, stateful_set, STATEFULSETS, revisions)
        except ApiError as error:
            if is_conflict(error) and "hashing anew" in error.message:
                await self._count_collision(stateful_set)
            raise
        revisions = list({objects.uid(r): r for r in (*revisions, update)}.values())
        named = {objects.name(r): r for r in revisions}
        update_name = objects.name(update)
        current_name = (stateful_set.get("status") or {}).get("currentRevision") or update_name
        if current_name not in named:
            current_name = update_name
        owned, now = await self._claim(stateful_set), self._clock.now()
        plan = plan_step(stateful_set, owned, current_name, update_name, now)
        failure: ApiError | ApiUnreachable | None = None
        try:
            await self._apply(stateful_set, plan, owned, named)
        except (ApiError, ApiUnreachable) as error:
            failure = error  # what is there is told all the same
        await self._write_status(stateful_set, compute_status(stateful_set, owned, current_name, update_name, now))
        if failure is not None:
            raise failure
        live = {revision_of(pod) for pod in owned} | {current_name, update_name}
        limit = int(stateful_set["spec"].get("revisionHistoryLimit", 10))
        await delete_revisions(self._client, plan_history(revisions, live, limit))
        return self._next_available(stateful_set, owned)

    async def _tell_of_the_rest(self, stateful_set: Object) -> None:
        """Of a set that waits for its pods to go (`--cascade=foreground`) the status alone follows them."""
        before = stateful_set.get("status") or {}
        current, update = before.get("currentRevision"), before.get("updateRevision")
        if current and update:
            owned, now = await self._claim(stateful_set), self._clock.now()
            await self._write_status(stateful_set, compute_status(stateful_set, owned, current, update, now))

    async def _apply(
        self, stateful_set: Object, plan: StatefulPlan, owned: Sequence[Object], revisions: Mapping[str, Object]
    ) -> None:
        for pod in owned:
            await self._own_claims(stateful_set, pod)
            await self._own_name(stateful_set, pod)
            await self._restore_claims(stateful_set, pod)
        for number, revision in plan.create:
            if any(is_stale(stateful_set, number, claim) for claim in self._claims_of(stateful_set, number)):
                continue  # its deletion wakes us
            self._say_conflicting(stateful_set, number)
            await self._create(stateful_set, number, revision, revisions[revision])
        for pod in plan.delete:
            self._say_ended(stateful_set, pod)
            await self._delete(stateful_set, pod)

    def _claims_of(self, stateful_set: Object, number: int) -> list[Object]:
        named = (self._claims.get(each, objects.namespace(stateful_set)) for each in claim_names(stateful_set, number))
        return [claim for claim in named if claim is not None]

    async def _own_claims(self, stateful_set: Object, pod: Object) -> None:
        """Before a pod is deleted its claims must say whether they go with it."""
        for claim in self._claims_of(stateful_set, ordinal(stateful_set, pod)):
            owners = plan_owners(stateful_set, pod, claim)
            if owners is not None and not objects.is_deleting(claim):
                body = {**claim, "metadata": {**claim["metadata"], "ownerReferences": owners}}
                await self._client.update(PERSISTENTVOLUMECLAIMS, body)

    async def _restore_claims(self, stateful_set: Object, pod: Object) -> None:
        """A pod that waits for a claim which somebody deleted would wait for ever."""
        number = ordinal(stateful_set, pod)
        if pods.phase(pod) == "Pending" and not objects.is_deleting(pod) and number in wanted_ordinals(stateful_set):
            await self._create_claims(stateful_set, number)

    async def _own_name(self, stateful_set: Object, pod: Object) -> None:
        """A Service for one pod selects by these labels: give them back to a pod that lost them."""
        labels = identity(stateful_set, number := ordinal(stateful_set, pod))
        lost = objects.labels(pod).get(POD_NAME) != labels[POD_NAME]
        if not lost or objects.is_deleting(pod) or number not in wanted_ordinals(stateful_set):
            return
        message = f"update Pod {objects.name(pod)} in StatefulSet {objects.name(stateful_set)}"
        body = {"metadata": {"uid": objects.uid(pod), "labels": labels}}
        try:
            await self._client.patch(PODS, objects.name(pod), body, objects.namespace(pod))
        except ApiError as error:
            said = f"{message} failed error: {error.message}"
            self._recorder.event(stateful_set, "Warning", "FailedUpdate", said)
            raise
        self._recorder.event(stateful_set, "Normal", "SuccessfulUpdate", f"{message} successful")

    async def _claim(self, stateful_set: Object) -> list[Object]:
        selector = label_selectors.from_label_selector(stateful_set["spec"].get("selector"))
        candidates = [
            pod
            for pod in claimable(self._pods, stateful_set, selector)
            if is_controlled_by(pod, stateful_set) or ordinal(stateful_set, pod) >= 0
        ]
        return await apply_claim(
            self._client, stateful_set, STATEFULSETS, PODS, plan_claim(stateful_set, selector, candidates)
        )

    async def _create(self, stateful_set: Object, number: int, revision_name: str, revision: Object) -> None:
        """Create the ordinal's claims, then its pod, of the template that the revision remembers."""
        template = {k: v for k, v in revision["data"]["spec"]["template"].items() if k != "$patch"}
        pod = render_stateful_pod(stateful_set, template, number, revision_name)
        set_name, pod_name = objects.name(stateful_set), objects.name(pod)
        try:
            await self._create_claims(stateful_set, number)
            await self._client.create(PODS, pod)
        except ApiError as error:
            if is_namespace_terminating(error):
                return
            if is_already_exists(error):
                if await self._is_ours(stateful_set, pod):
                    return  # the lister does not show it yet
                raise  # of another's pod nothing is told, as upstream
            message = f"create Pod {pod_name} in StatefulSet {set_name} failed error: {error.message}"
            self._recorder.event(stateful_set, "Warning", "FailedCreate", message)
            raise
        message = f"create Pod {pod_name} in StatefulSet {set_name} successful"
        self._recorder.event(stateful_set, "Normal", "SuccessfulCreate", message)

    async def _is_ours(self, stateful_set: Object, pod: Object) -> bool:
        try:
            existing = await self._client.get(PODS, objects.name(pod), objects.namespace(pod))
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return is_controlled_by(existing, stateful_set)

    def _say_conflicting(self, stateful_set: Object, number: int) -> None:
        for claim in self._claims_of(stateful_set, number):
            if has_other_controller(stateful_set, number, claim):
                message = (
                    f"PersistentVolumeClaim {objects.name(claim)} has a conflicting OwnerReference that acts as a "
                    "manging controller, the retention policy is ignored for this claim"
                )
                self._recorder.event(stateful_set, "Warning", "ConflictingController", message)

    def _say_ended(self, stateful_set: Object, pod: Object) -> None:
        """A pod that ended and is still wanted is deleted so that another one takes its place."""
        if not pods.is_terminal(pod) or ordinal(stateful_set, pod) not in wanted_ordinals(stateful_set):
            return
        failed = pods.phase(pod) == "Failed"
        word = "failed" if failed else "terminated"
        message = f"StatefulSet {objects.key(stateful_set)} is recreating {word} Pod {objects.name(pod)}"
        kind = "Warning" if failed else "Normal"
        self._recorder.event(stateful_set, kind, f"Recreating{word.title()}Pod", message)

    async def _create_claims(self, stateful_set: Object, number: int) -> None:
        """Create the claims that the ordinal lacks. Raises ApiError with all that stands in the way."""
        there = {objects.name(claim): claim for claim in self._claims_of(stateful_set, number)}
        troubles = []
        for claim in render_claims(stateful_set, number):
            name = objects.name(claim)
            try:
                if name not in there:
                    await self._create_claim(stateful_set, number, claim)
                elif objects.is_deleting(there[name]):
                    troubles.append(f"pvc {name} is being deleted")
            except ApiError as error:
                troubles.append(f"failed to create PVC {name}: {error.message}")
        if troubles:
            raise ApiError(500, "InternalError", aggregate(troubles))

    async def _create_claim(self, stateful_set: Object, number: int, claim: Object) -> None:
        name, set_name = objects.name(claim), objects.name(stateful_set)
        try:
            await self._client.create(PERSISTENTVOLUMECLAIMS, claim)
        except ApiError as error:
            if is_already_exists(error) or is_namespace_terminating(error):
                return
            where = f"Pod {set_name}-{number} in StatefulSet {set_name}"
            message = f"create Claim {name} for {where} failed error: {error.message}"
            self._recorder.event(stateful_set, "Warning", "FailedCreate", message)
            raise
        message = f"create Claim {name} Pod {set_name}-{number} in StatefulSet {set_name} success"
        self._recorder.event(stateful_set, "Normal", "SuccessfulCreate", message)

    async def _delete(self, stateful_set: Object, pod: Object) -> None:
        set_name, pod_name = objects.name(stateful_set), objects.name(pod)
        try:
            await self._client.delete(PODS, pod_name, objects.namespace(pod), uid=objects.uid(pod))
        except ApiError as error:
            if is_not_found(error):
                return
            message = f"delete Pod {pod_name} in StatefulSet {set_name} failed error: {error.message}"
            self._recorder.event(stateful_set, "Warning", "FailedDelete", message)
            raise
        message = f"delete Pod {pod_name} in StatefulSet {set_name} successful"
        self._recorder.event(stateful_set, "Normal", "SuccessfulDelete", message)

    async def _count_collision(self, stateful_set: Object) -> None:
        status = dict(stateful_set.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        status.setdefault("replicas", 0)
        await self._client.update(STATEFULSETS, {**stateful_set, "status": status}, "status")

    async def _write_status(self, stateful_set: Object, status: Object) -> None:
        if status != (stateful_set.get("status") or {}):
            await self._client.update(STATEFULSETS, {**stateful_set, "status": status}, "status")

    def _next_available(self, stateful_set: Object, owned: Sequence[Object]) -> float | None:
        min_ready, now = int(stateful_set["spec"].get("minReadySeconds") or 0), self._clock.now()
        waits = [wait for pod in owned if (wait := pods.available_in(pod, min_ready, now))]
        return min(waits) if waits else None

    def _enqueue(self, stateful_set: Object) -> None:
        self._queue.add(objects.key(stateful_set))

    def _claim_gone(self, claim: Object) -> None:
        for stateful_set in self._sets.list(objects.namespace(claim)):
            if any(
                objects.name(claim).startswith(claim_prefix(stateful_set, each)) for each in templates(stateful_set)
            ):
                self._enqueue(stateful_set)

    def _pod_changed(self, pod: Object) -> None:
        key = controller_key(pod, STATEFULSETS)
        if key is not None:
            self._queue.add(key)
        if controller_of(pod) is not None:
            return
        for stateful_set in self._sets.list(objects.namespace(pod)):
            if ordinal(stateful_set, pod) >= 0:
                self._enqueue(stateful_set)
