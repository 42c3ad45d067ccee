"""Disks grow with what their claims ask for: the external-resizer of disk.kubelab.io (KEP-284, KEP-1790)."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import attachments, expansion, objects, volumes
from apimachinery.meta.attachments import DISK_DRIVER
from controlplane.cloud import disk_plan as plan
from controlplane.cloud.context import Context
from controlplane.cloud.provider import DiskProblem, Disks

Object = dict[str, Any]

NAME = "disk-resizer"
RETRY, LONGEST = 1.0, 300.0  # seconds until a refusal is tried again; doubled each time


class DiskResizer:
    """Reconciles bound claims that ask for more than they have."""

    name = NAME

    def __init__(self, context: Context, disks: Disks) -> None:
        self._client, self._disks, self._clock = context.client, disks, context.clock
        claims, all_volumes = context.informers.get(PERSISTENTVOLUMECLAIMS), context.informers.get(PERSISTENTVOLUMES)
        self._claims, self._volumes = claims.lister, all_volumes.lister
        self._recorder = context.recorder(f"external-resizer {DISK_DRIVER}")
        self._waits: dict[str, float] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=4)
        claims.add_handler(self._claim_changed)
        all_volumes.add_handler(self._volume_changed)

    def recall(self, other: DiskResizer) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._waits = dict(other._waits)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Make the disk as large as the claim asks; the file system on it is the kubelet's."""
        claim = self._claims.get_by_key(key)
        if claim is None or objects.is_deleting(claim) or not expansion.wants_more(claim):
            self._waits.pop(key, None)
            return None
        volume = self._volumes.get(claim["spec"].get("volumeName") or "")
        if volume is None or not attachments.disk_of(volume) or not volumes.is_bound_to(volume, claim):
            return None
        if volumes.capacity(volume) < volumes.requested(claim):
            grown = await self._grow(claim, volume)
            if grown is None:
                self._waits[key] = min(self._waits.get(key, RETRY / 2) * 2, LONGEST)
                return self._waits[key]
            claim, volume = grown
        self._waits.pop(key, None)
        if volumes.mode(volume) == "Block":
            await self._write(claim, expansion.done(claim, volume["spec"]["capacity"]["storage"]))
            self._recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")
        elif expansion.state(claim) in ("", expansion.CONTROLLER_IN_PROGRESS):
            await self._write(claim, expansion.waits_for_node(claim, self._clock.now()))
            text = "Require file system resize of volume on node"
            self._recorder.event(claim, "Normal", "FileSystemResizeRequired", text)
        return None

    async def _grow(self, claim: Object, volume: Object) -> tuple[Object, Object] | None:
        """The claim and the volume after the disk has grown; None when it was refused, which is said."""
        asked, name = claim["spec"]["resources"]["requests"]["storage"], objects.name(volume)
        now = self._clock.now()
        if expansion.state(claim) != expansion.CONTROLLER_IN_PROGRESS:
            claim = await self._write(claim, expansion.begun(claim, asked, now))
            text = f"External resizer is resizing volume {name}"
            self._recorder.event(claim, "Normal", "Resizing", text)
        try:
            size = await self._disks.resize(attachments.disk_of(volume), plan.asked_size(claim))
        except DiskProblem as error:
            text = f'resize volume "{name}" by resizer "{DISK_DRIVER}" failed: {error}'
            self._recorder.event(claim, "Warning", "VolumeResizeFailed", text)
            where = expansion.CONTROLLER_IN_PROGRESS
            await self._write(claim, expansion.failed(claim, where, expansion.CONTROLLER_ERROR, text, now))
            return None
        capacity = {**volume["spec"]["capacity"], "storage": plan.shown_size(size, asked)}
        body = {**volume, "spec": {**volume["spec"], "capacity": capacity}}
        return claim, await self._client.update(PERSISTENTVOLUMES, body)

    async def _write(self, claim: Object, status: expansion.Status) -> Object:
        if status == claim.get("status"):
            return claim
        return await self._client.update(PERSISTENTVOLUMECLAIMS, expansion.with_status(claim, status), "status")

    def _claim_changed(self, claim: Object) -> None:
        if expansion.wants_more(claim):
            self._queue.add(objects.key(claim))

    def _volume_changed(self, volume: Object) -> None:
        reference = volume["spec"].get("claimRef")
        if reference and attachments.disk_of(volume):
            self._queue.add(f"{reference.get('namespace', '')}/{reference.get('name', '')}")
