"""Claims that ask for more than their volume has (pkg/controller/volume/expand).

It makes no volume grow: who can is told to the user, and does (the lab's disks: controlplane.cloud.disk_resizer).
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects, volumes
from apimachinery.meta.expansion import wants_more
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "persistentvolume-expander-controller"


class VolumeExpander:
    """Reconciles bound claims that ask for more than they have."""

    name = NAME

    def __init__(self, context: Context) -> None:
        claims, all_volumes = context.informer(PERSISTENTVOLUMECLAIMS), context.informer(PERSISTENTVOLUMES)
        self._claims, self._volumes = claims.lister, all_volumes.lister
        self._recorder = context.recorder("volume_expand")
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        claims.add_handler(self._claim_seen, self._claim_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Say that nobody here expands the volume."""
        claim = self._claims.get_by_key(key)
        if claim is None or not wants_more(claim):
            return None
        volume = self._volumes.get(claim["spec"].get("volumeName") or "")
        if volume is not None and volumes.is_bound_to(volume, claim):
            text = "waiting for an external controller to expand this PVC"
            self._recorder.event(claim, "Normal", "ExternalExpanding", text)
        return None

    def _claim_seen(self, claim: Object) -> None:
        if wants_more(claim):
            self._queue.add(objects.key(claim))

    def _claim_changed(self, old: Object, new: Object) -> None:
        if volumes.requested(new) > volumes.requested(old):
            self._queue.add(objects.key(new))
