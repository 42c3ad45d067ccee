"""PodDisruptionBudgets: keeps their status, from which evictions draw (pkg/controller/disruption).

The arithmetic is in disruption_plan.py. What cannot be computed allows nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from apimachinery.api.catalogue import PODDISRUPTIONBUDGETS, PODS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import go_print, objects, times
from apimachinery.meta import labels as label_selectors
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.disruption_plan import (
    concerns_budgets,
    needs_scale,
    plan_failure,
    plan_status,
    stale_target_in,
)
from controlplane.controllers.scales import Scales, UnknownScale

log = logging.getLogger(__name__)

Object = dict[str, Any]

NAME = "disruption-controller"
RETRY = 15.0
"""Seconds until a budget that could not be computed is looked at again, if no pod changes before."""


class DisruptionController:
    """Reconciles budgets, and takes DisruptionTarget off pods that were not deleted after all."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        budgets, all_pods = context.informer(PODDISRUPTIONBUDGETS), context.informer(PODS)
        self._budgets, self._pods = budgets.lister, all_pods.lister
        self._scales = Scales(context)
        self._recorder = context.recorder("controllermanager")
        self._queue, self._stale = WorkQueue(context.clock), WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        self.stale_loop = Controller(f"{NAME}: stale targets", self.reconcile_target, self._stale)
        budgets.add_handler(self._enqueue)
        all_pods.add_handler(self._pod_changed, self._pod_updated, self._pod_deleted)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.run())
            group.create_task(self.stale_loop.run())

    async def reconcile(self, key: str) -> float | None:
        """Count, and write what was counted."""
        pdb = self._budgets.get_by_key(key)
        if pdb is None:
            return None
        try:
            return await self._count(pdb)
        except (UnknownScale, ValueError, ApiError) as error:
            if isinstance(error, ApiError) and is_conflict(error):
                raise
            log.warning("%s: %s: %s", NAME, key, error)
            status = plan_failure(pdb, str(error), self._clock.now())
            if status is not None:
                await self._write(pdb, status)
            return RETRY

    async def _count(self, pdb: Object) -> float | None:
        try:
            selector = label_selectors.from_label_selector(pdb["spec"].get("selector"))
        except ValueError as error:
            self._recorder.event(pdb, "Warning", "NoPods", f"Failed to get pods: {error}")
            raise
        matching, scale = self._pods.list(objects.namespace(pdb), selector), 0
        if not matching:
            self._recorder.event(pdb, "Normal", "NoPods", "No matching pods found")
        try:
            if needs_scale(pdb):
                scale, unmanaged = await self._scales.total(matching)
                if unmanaged:
                    self._say_unmanaged(pdb)
            status, disrupted = plan_status(pdb, matching, scale, self._clock.now())
        except (UnknownScale, ValueError, ApiError) as error:
            message = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(pdb, "Warning", "CalculateExpectedPodCountFailed", message)
            raise
        for pod in disrupted.overdue:
            message = f"Pod was expected by PDB {objects.key(pdb)} to be deleted but it wasn't"
            self._recorder.event(pod, "Warning", "NotDeleted", message)
        if status is not None:
            await self._write(pdb, status)
        # A moment later than due: at the very second the approval still holds.
        return disrupted.recheck + 1 if disrupted.recheck is not None else None

    async def _write(self, pdb: Object, status: Object) -> None:
        try:
            # Holds only for the version that was counted: an eviction since then makes it a conflict.
            await self._client.update(PODDISRUPTIONBUDGETS, {**pdb, "status": status}, "status")
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _say_unmanaged(self, pdb: Object) -> None:
        selector = go_print.label_selector(pdb["spec"].get("selector") or {})
        message = (
            f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a "
            "result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To "
            'account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
        )
        self._recorder.event(pdb, "Warning", "UnmanagedPods", message)

    async def reconcile_target(self, key: str) -> float | None:
        """Set a pod's DisruptionTarget to False when its deletion has not come."""
        pod = self._pods.get_by_key(key)
        left = stale_target_in(pod, self._clock.now()) if pod is not None else None
        if pod is None or left is None or left > 0:
            return left
        condition = {
            "type": "DisruptionTarget",
            "status": "False",
            "reason": None,
            "message": None,
            "lastTransitionTime": times.rfc3339(self._clock.now()),
        }
        body = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(
                PODS, objects.name(pod), body, objects.namespace(pod), kind="strategic", subresource="status"
            )
        except ApiError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise
        return None

    def _enqueue(self, pdb: Object) -> None:
        self._queue.add(objects.key(pdb))

    def _enqueue_for(self, pod: Object) -> None:
        """Queue the budget of the pod; there should be one at most."""
        found = []
        for pdb in self._budgets.list(objects.namespace(pod)):
            try:
                selector = label_selectors.from_label_selector((pdb.get("spec") or {}).get("selector"))
            except ValueError:
                continue  # its own reconciliation says so
            if selector.matches(objects.labels(pod)):
                found.append(pdb)
        for pdb in found:
            self._queue.add(objects.key(pdb))
        if len(found) > 1:
            names = f'"{objects.namespace(pod)}"/"{objects.name(pod)}"'
            message = (
                f'Pod {names} matches multiple PodDisruptionBudgets.  Chose "{objects.name(found[0])}" arbitrarily.'
            )
            self._recorder.event(pod, "Warning", "MultiplePodDisruptionBudgets", message)

    def _pod_changed(self, pod: Object) -> None:
        self._enqueue_for(pod)
        left = stale_target_in(pod, self._clock.now())
        if left is not None:
            self._stale.add_after(objects.key(pod), left)

    def _pod_updated(self, old: Object, new: Object) -> None:
        if concerns_budgets(old, new):
            self._enqueue_for(new)
            if objects.labels(old) != objects.labels(new):
                self._enqueue_for(old)
        left = stale_target_in(new, self._clock.now())
        if left is not None and stale_target_in(old, self._clock.now()) is None:
            self._stale.add_after(objects.key(new), left)

    def _pod_deleted(self, pod: Object) -> None:
        self._enqueue_for(pod)
