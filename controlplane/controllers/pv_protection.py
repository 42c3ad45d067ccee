"""Volumes that are bound to a claim are not deleted under it (pkg/controller/volume/pvprotection)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.protection_plan import PV_PROTECTION, is_candidate, needs_finalizer, plan_finalizers

Object = dict[str, Any]

NAME = "persistentvolume-protection-controller"


class VolumeProtection:
    """Reconciles volumes that are being deleted, or have no finalizer."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client = context.client
        volumes = context.informer(PERSISTENTVOLUMES)
        self._volumes = volumes.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        volumes.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Give the volume its finalizer, or take it when no claim is bound to it."""
        volume = self._volumes.get_by_key(key)
        if volume is None:
            return None
        used = (volume.get("status") or {}).get("phase") == "Bound"
        finalizers = plan_finalizers(volume, PV_PROTECTION, used=used)
        if finalizers is not None:
            body = {**volume, "metadata": {**volume["metadata"], "finalizers": finalizers}}
            try:
                await self._client.update(PERSISTENTVOLUMES, body)
            except ApiError as error:
                if not is_not_found(error):
                    raise
        return None

    def _changed(self, volume: Object) -> None:
        if needs_finalizer(volume, PV_PROTECTION) or is_candidate(volume, PV_PROTECTION):
            self._queue.add(objects.key(volume))
