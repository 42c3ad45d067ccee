"""Deployment: move pods from old ReplicaSets to the new one within maxSurge and maxUnavailable.

The arithmetic is in deployment_plan.py, the conditions in deployment_status.py; this file reads, writes, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from apimachinery.api.catalogue import DEPLOYMENTS, PODS, REPLICASETS
from apimachinery.controller.loop import Controller
from apimachinery.controller.owners import controller_key, controller_of, is_controlled_by
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import labels as label_selectors
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found
from controlplane.controllers import conditions
from controlplane.controllers.claim import apply_claim, plan_claim
from controlplane.controllers.context import BY_CONTROLLER, Context, claimable, index_by_controller
from controlplane.controllers.deployment_plan import (
    REVISION,
    Scale,
    find_new,
    is_rolling,
    is_scaling_event,
    new_annotations,
    new_size,
    next_revision,
    plan_cleanup,
    plan_proportional,
    plan_recreate,
    plan_rolling,
    render_replica_set,
    revision,
    size,
    size_annotations,
    split,
)
from controlplane.controllers.deployment_status import (
    CREATE_ERROR,
    compute_status,
    has_deadline,
    is_complete,
    pausing_condition,
    seconds_to_deadline,
    with_create_error,
    with_progress,
)
from controlplane.controllers.pod_control import is_namespace_terminating
from controlplane.controllers.template_hash import meaningful

Object = dict[str, Any]

NAME = "deployment-controller"


class DeploymentController:
    """Reconciles Deployments."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        deployments, sets, all_pods = (
            context.informer(DEPLOYMENTS),
            context.informer(REPLICASETS),
            context.informer(PODS),
        )
        index_by_controller(sets)
        self._deployments, self._sets, self._pods = deployments.lister, sets.lister, all_pods.lister
        self._recorder = context.recorder(NAME)
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        deployments.add_handler(self._enqueue, on_delete=self._enqueue)
        sets.add_handler(self._set_changed, self._set_updated, self._set_changed)
        all_pods.add_handler(on_update=lambda old, new: None, on_delete=self._pod_deleted)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Take the next step of one Deployment and write its status."""
        deployment = self._deployments.get_by_key(key)
        if deployment is None:
            return None
        if deployment["spec"].get("selector") == {}:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, "Warning", "SelectingAll", message)
            return None
        sets = await self._claim(deployment)
        if objects.is_deleting(deployment):
            await self._write_counts(deployment, sets)
            return None
        noticed = pausing_condition(deployment, self._clock.now())
        if noticed is not None:
            status = {**(deployment.get("status") or {}), "conditions": noticed}
            deployment = await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, "status")
        if deployment["spec"].get("paused") or is_scaling_event(deployment, sets):
            await self._resize(deployment, sets)
            return None
        if is_rolling(deployment):
            return await self._roll(deployment, sets)
        return await self._recreate(deployment, sets)

    async def _claim(self, deployment: Object) -> list[Object]:
        selector = label_selectors.from_label_selector(deployment["spec"].get("selector"))
        candidates = claimable(self._sets, deployment, selector)
        claim = plan_claim(deployment, selector, candidates)
        return await apply_claim(self._client, deployment, DEPLOYMENTS, REPLICASETS, claim)

    async def _resize(self, deployment: Object, sets: Sequence[Object]) -> None:
        """Follow a change of size, also of a paused Deployment; the template does not move."""
        new, old = split(deployment, sets)
        deployment, new = await self._bring_up_new(deployment, new, old, create=False)
        # A failure to scale is the caller's to retry; the status then still tells of the sets before.
        scaled = await self._scale(deployment, plan_proportional(deployment, new, old))
        if deployment["spec"].get("paused"):
            await self._cleanup(deployment, old)
        await self._write_counts(deployment, _replaced(sets, scaled))

    async def _roll(self, deployment: Object, sets: Sequence[Object]) -> float | None:
        new, old = split(deployment, sets)
        deployment, new = await self._bring_up_new(deployment, new, old, create=True)
        if new is None:
            return None
        scaled = await self._scale(deployment, plan_rolling(deployment, new, old))
        sets = _replaced([*old, new], scaled)
        if not scaled and is_complete(deployment, deployment.get("status") or {}):
            await self._cleanup(deployment, old)
        return await self._write_status(deployment, sets)

    async def _recreate(self, deployment: Object, sets: Sequence[Object]) -> float | None:
        new, old = split(deployment, sets)
        left = self._has_live_pods(old)
        if new is None and not left and all(size(each) == 0 for each in old):
            deployment, new = await self._bring_up_new(deployment, new, old, create=True)
        elif new is not None:
            deployment, new = await self._bring_up_new(deployment, new, old, create=False)
        scaled = await self._scale(deployment, plan_recreate(new, old, deployment, old_pods_left=left))
        sets = _replaced([*old, *([new] if new is not None else [])], scaled)
        if is_complete(deployment, deployment.get("status") or {}):
            await self._cleanup(deployment, old)
        return await self._write_status(deployment, sets)

    def _has_live_pods(self, sets: Sequence[Object]) -> bool:
        return any(
            not pods.is_terminal(pod) for each in sets for pod in self._pods.by_index(BY_CONTROLLER, objects.uid(each))
        )

    async def _bring_up_new(
        self, deployment: Object, new: Object | None, old: Sequence[Object], *, create: bool
    ) -> tuple[Object, Object | None]:
        """Give the new ReplicaSet its revision, or create it; returns the Deployment and the set as they are now."""
        if new is not None:
            annotations = new_annotations(deployment, objects.annotations(new), next_revision(old))
            changed = {**new, "metadata": {**new["metadata"], "annotations": annotations}}
            min_ready = int(deployment["spec"].get("minReadySeconds") or 0)
            if int(new["spec"].get("minReadySeconds") or 0) != min_ready:
                changed["spec"] = {**new["spec"], "minReadySeconds": min_ready}
            # The size annotations alone are written when the size is: until then they say what it was computed from.
            if not create:
                for name in size_annotations(deployment):
                    if name in objects.annotations(new):
                        annotations[name] = objects.annotations(new)[name]
            if changed != new:
                new = await self._client.update(REPLICASETS, changed)
            deployment = await self._take_revision(deployment, new)
            message = f'Found new replica set "{objects.name(new)}"'
            return await self._say_progress(deployment, "FoundNewReplicaSet", message), new
        if not create:
            return deployment, None
        rendered = render_replica_set(deployment, old, 0)
        rendered["spec"]["replicas"] = new_size(deployment, [*old, rendered], 0)
        try:
            created = await self._client.create(REPLICASETS, rendered)
        except ApiError as error:
            if not is_already_exists(error):
                if not is_namespace_terminating(error):
                    await self._fail(deployment, objects.name(rendered), error)
                raise
            created = await self._resolve_collision(deployment, rendered)
        else:
            if size(created):
                self._say_scaled(deployment, objects.name(created), 0, size(created))
        deployment = await self._take_revision(deployment, created)
        message = f'Created new replica set "{objects.name(created)}"'
        return await self._say_progress(deployment, "NewReplicaSetCreated", message, always=True), created

    async def _resolve_collision(self, deployment: Object, rendered: Object) -> Object:
        """The name is taken: by our own set that the lister does not show yet, or by another template's."""
        existing = await self._client.get(REPLICASETS, objects.name(rendered), objects.namespace(rendered))
        if is_controlled_by(existing, deployment) and find_new(deployment, [existing]) is not None:
            return existing
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, "status")
        raise ApiError(409, "Conflict", f"replica set name {objects.name(rendered)!r} is taken, hashing anew")

    async def _take_revision(self, deployment: Object, new: Object) -> Object:
        if revision(deployment) == revision(new):
            return deployment
        # By the status subresource, as upstream: the annotation is no change of what the Deployment specifies.
        annotations = {**objects.annotations(deployment), REVISION: str(revision(new))}
        metadata = {**deployment["metadata"], "annotations": annotations}
        return await self._client.update(DEPLOYMENTS, {**deployment, "metadata": metadata}, "status")

    async def _say_progress(self, deployment: Object, reason: str, message: str, *, always: bool = False) -> Object:
        """Write a Progressing condition of a rollout that begins; one that is under way keeps its own."""
        found = (deployment.get("status") or {}).get("conditions") or []
        if not has_deadline(deployment) or (not always and conditions.find(found, "Progressing") is not None):
            return deployment
        stamp = times.rfc3339(self._clock.now())
        updated = conditions.put(found, "Progressing", "True", reason, message, stamp, update_time=True)
        if updated == found:
            return deployment
        status = {**(deployment.get("status") or {}), "conditions": updated}
        return await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, "status")

    async def _fail(self, deployment: Object, name: str, error: ApiError) -> None:
        """Say that the ReplicaSet of that name cannot be made; a status that cannot be written is no new trouble."""
        message = f'Failed to create new replica set "{name}": {error.message}'
        self._recorder.event(deployment, "Warning", CREATE_ERROR, message)
        status = with_create_error(deployment, message, self._clock.now())
        if status is not None:
            with suppress(ApiError):
                await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, "status")

    async def _scale(self, deployment: Object, plan: Sequence[Scale]) -> list[Object]:
        """Write the planned sizes; returns the sets as written."""
        written = []
        for step in plan:
            annotations = {**objects.annotations(step.replica_set), **size_annotations(deployment)}
            if step.by == 0 and annotations == objects.annotations(step.replica_set):
                continue
            changed = {
                **step.replica_set,
                "metadata": {**step.replica_set["metadata"], "annotations": annotations},
                "spec": {**step.replica_set["spec"], "replicas": step.to},
            }
            written.append(await self._client.update(REPLICASETS, changed))
            if step.by:
                self._say_scaled(deployment, objects.name(changed), size(step.replica_set), step.to)
        return written

    def _say_scaled(self, deployment: Object, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self._recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _cleanup(self, deployment: Object, old: Sequence[Object]) -> None:
        async def delete(replica_set: Object) -> None:
            try:
                await self._client.delete(
                    REPLICASETS,
                    objects.name(replica_set),
                    objects.namespace(replica_set),
                    uid=objects.uid(replica_set),
                    propagation="Background",
                )
            except ApiError as error:
                if not is_not_found(error):
                    raise

        await asyncio.gather(*(delete(each) for each in plan_cleanup(deployment, old)))

    async def _write_counts(self, deployment: Object, sets: Sequence[Object]) -> None:
        """Write the status of a Deployment that is not rolled now: what is said of its progress stays."""
        new, _ = split(deployment, sets)
        await self._write(deployment, compute_status(deployment, sets, new, self._clock.now()))

    async def _write(self, deployment: Object, status: Object) -> None:
        if meaningful(status) != meaningful(deployment.get("status") or {}):
            await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, "status")

    async def _write_status(self, deployment: Object, sets: Sequence[Object]) -> float | None:
        """Write the status if it changed. Returns when to look again for the progress deadline."""
        now = self._clock.now()
        new, _ = split(deployment, sets)
        status = with_progress(deployment, compute_status(deployment, sets, new, now), sets, new, now)
        await self._write(deployment, status)
        if is_complete(deployment, status):
            return None
        left = seconds_to_deadline(deployment, status, now)
        return left + 1 if left else None

    def _enqueue(self, deployment: Object) -> None:
        self._queue.add(objects.key(deployment))

    def _set_changed(self, replica_set: Object) -> None:
        key = controller_key(replica_set, DEPLOYMENTS)
        if key is not None:
            self._queue.add(key)
        if controller_of(replica_set) is not None:
            return
        for deployment in self._deployments.list(objects.namespace(replica_set)):
            selector = label_selectors.from_label_selector(deployment["spec"].get("selector"))
            if not selector.empty and selector.matches(objects.labels(replica_set)):
                self._enqueue(deployment)

    def _set_updated(self, old: Object, new: Object) -> None:
        if controller_of(old) != controller_of(new):
            self._set_changed(old)
        self._set_changed(new)

    def _pod_deleted(self, pod: Object) -> None:
        """Strategy Recreate waits for the last old pod to go."""
        set_key = controller_key(pod, REPLICASETS)
        replica_set = self._sets.get_by_key(set_key) if set_key is not None else None
        key = controller_key(replica_set, DEPLOYMENTS) if replica_set is not None else None
        deployment = self._deployments.get_by_key(key) if key is not None else None
        if deployment is not None and not is_rolling(deployment):
            self._enqueue(deployment)


def _replaced(sets: Sequence[Object], written: Sequence[Object]) -> list[Object]:
    """Return the sets, those just written in their new form."""
    by_uid = {objects.uid(each): each for each in written}
    return [by_uid.get(objects.uid(each), each) for each in sets]
