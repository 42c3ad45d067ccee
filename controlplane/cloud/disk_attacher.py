"""Disks are plugged into machines as VolumeAttachments say: the external-attacher of disk.kubelab.io."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import CSINODES, PERSISTENTVOLUMES, VOLUMEATTACHMENTS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import attachments, objects, times
from apimachinery.meta.attachments import DISK_DRIVER
from apimachinery.meta.provisioning import without_finalizer
from apimachinery.meta.status import ApiError, is_not_found
from controlplane.cloud import disk_plan as plan
from controlplane.cloud.context import Context
from controlplane.cloud.provider import DiskNotFound, DiskProblem, Disks

Object = dict[str, Any]

NAME = "disk-attacher"
VERIFY = 60.0  # seconds between two looks whether what is attached still is (--reconcile-sync)
RETRY, LONGEST = 1.0, 60.0  # seconds until a refusal is tried again; doubled each time
_ATTACHMENT, _VOLUME = "attachment:", "volume:"
_OF_VOLUME = "volume"


class DiskAttacher:
    """Reconciles VolumeAttachments of our driver, and the finalizer on their volumes."""

    name = NAME

    def __init__(self, context: Context, disks: Disks) -> None:
        self._client, self._disks, self._clock = context.client, disks, context.clock
        informers = context.informers
        attached, all_volumes = informers.get(VOLUMEATTACHMENTS), informers.get(PERSISTENTVOLUMES)
        nodes = informers.get(CSINODES)
        self._attachments, self._volumes, self._nodes = attached.lister, all_volumes.lister, nodes.lister
        self._attachments.add_index(_OF_VOLUME, lambda each: (attachments.volume_of(each),))
        self._waits: dict[str, float] = {}
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=4)
        attached.add_handler(self._attachment_changed, on_delete=self._attachment_gone)
        all_volumes.add_handler(self._volume_changed)
        nodes.add_handler(self._node_changed)

    def recall(self, other: DiskAttacher) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._waits = dict(other._waits)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Attach or detach, and say so in the VolumeAttachment's status."""
        if key.startswith(_VOLUME):
            await self._let_go(key.removeprefix(_VOLUME))
            return None
        attachment = self._attachments.get(key.removeprefix(_ATTACHMENT))
        if attachment is None or attachment["spec"]["attacher"] != DISK_DRIVER:
            return None
        name = objects.name(attachment)
        deleting = objects.is_deleting(attachment)
        try:
            if deleting:
                await self._detach(attachment)
                again = None
            else:
                again = await self._attach(attachment)
        except (plan.Refusal, DiskProblem) as error:
            found = {"time": times.rfc3339(self._clock.now()), "message": str(error)}
            await self._status(attachment, {"detachError" if deleting else "attachError": found})
            self._waits[name] = min(self._waits.get(name, RETRY / 2) * 2, LONGEST)
            return self._waits[name]
        self._waits.pop(name, None)
        return again

    async def _attach(self, attachment: Object) -> float:
        volume = self._volumes.get(attachments.volume_of(attachment))
        if volume is None or not attachments.disk_of(volume):
            raise plan.Refusal(f'persistentvolume "{attachments.volume_of(attachment)}" not found')
        node = attachment["spec"]["nodeName"]
        machine = plan.node_id(self._nodes.get(node), node)
        disk = attachments.disk_of(volume)
        if attachments.is_attached(attachment) and (await self._disks.attached()).get(disk) == machine:
            return VERIFY
        if objects.is_deleting(volume):
            raise plan.Refusal(f"PersistentVolume {objects.name(volume)!r} is marked for deletion")
        # Before anything is done: who deletes either waits for us.
        await self._keep(PERSISTENTVOLUMES, volume, {})
        attachment = await self._keep(VOLUMEATTACHMENTS, attachment, {plan.NODE_ID_ANNOTATION: machine})
        path = await self._disks.attach(disk, machine)
        metadata = {"devicePath": path} if path else {}
        await self._status(attachment, {"attached": True, "attachmentMetadata": metadata, "attachError": None})
        return VERIFY

    async def _detach(self, attachment: Object) -> None:
        if plan.ATTACHER_FINALIZER not in (attachment["metadata"].get("finalizers") or ()):
            return
        volume = self._volumes.get(attachments.volume_of(attachment))
        machine = objects.annotations(attachment).get(plan.NODE_ID_ANNOTATION) or attachment["spec"]["nodeName"]
        # Of a volume that was deleted by force its name still tells the disk, if we made it.
        disk = attachments.disk_of(volume) if volume is not None else plan.disk_id(attachments.volume_of(attachment))
        try:
            await self._disks.detach(disk, machine)
        except DiskNotFound:
            pass  # the machine is gone, and the disk out of it
        try:
            await self._client.update(VOLUMEATTACHMENTS, without_finalizer(attachment, plan.ATTACHER_FINALIZER))
        except ApiError as error:
            if not is_not_found(error):
                raise

    async def _keep(self, resource: Any, obj: Object, annotations: dict[str, str]) -> Object:
        """The object with our finalizer and annotations."""
        metadata, held = obj["metadata"], obj["metadata"].get("finalizers") or []
        if plan.ATTACHER_FINALIZER in held and annotations.items() <= objects.annotations(obj).items():
            return obj
        fresh = {
            **metadata,
            "finalizers": [*(each for each in held if each != plan.ATTACHER_FINALIZER), plan.ATTACHER_FINALIZER],
            "annotations": {**objects.annotations(obj), **annotations},
        }
        return await self._client.update(resource, {**obj, "metadata": fresh})

    async def _let_go(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None or not objects.is_deleting(volume) or self._attachments.by_index(_OF_VOLUME, name):
            return
        if plan.ATTACHER_FINALIZER in (volume["metadata"].get("finalizers") or ()):
            try:
                await self._client.update(PERSISTENTVOLUMES, without_finalizer(volume, plan.ATTACHER_FINALIZER))
            except ApiError as error:
                if not is_not_found(error):
                    raise

    async def _status(self, attachment: Object, changed: Object) -> None:
        status = {"attached": attachments.is_attached(attachment), **changed}
        try:
            await self._client.patch(
                VOLUMEATTACHMENTS, objects.name(attachment), {"status": status}, subresource="status"
            )
        except ApiError as error:
            if not is_not_found(error):
                raise

    def _attachment_changed(self, attachment: Object) -> None:
        self._queue.add(_ATTACHMENT + objects.name(attachment))

    def _attachment_gone(self, attachment: Object) -> None:
        self._waits.pop(objects.name(attachment), None)
        self._queue.add(_VOLUME + attachments.volume_of(attachment))

    def _volume_changed(self, volume: Object) -> None:
        if attachments.disk_of(volume):
            self._queue.add(_VOLUME + objects.name(volume))
            for attachment in self._attachments.by_index(_OF_VOLUME, objects.name(volume)):
                self._attachment_changed(attachment)

    def _node_changed(self, node: Object) -> None:
        for attachment in self._attachments.list():
            if attachment["spec"]["nodeName"] == objects.name(node) and not attachments.is_attached(attachment):
                self._attachment_changed(attachment)
