"""Claims get disks, and disks go with their volumes: the external-provisioner of disk.kubelab.io.

A disk's name follows from its claim's, so it may be killed anywhere and goes on.
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import (
    CSIDRIVERS,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
)
from apimachinery.client.provisioning import create_volume, forget_volume
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import attachments, objects, volumes
from apimachinery.meta.attachments import DISK_DRIVER
from apimachinery.meta.provisioning import is_asked, is_retained, is_to_be_deleted, volume_name
from apimachinery.meta.status import ApiError, is_already_exists
from controlplane.cloud import disk_plan as plan
from controlplane.cloud.context import Context
from controlplane.cloud.provider import DiskProblem, Disks

Object = dict[str, Any]

NAME = "disk-provisioner"
RETRY = 15.0  # seconds until what was refused is tried again
_CLAIM, _VOLUME, _DRIVER = "claim:", "volume:", "driver"
_OF_VOLUME = "volume"


class DiskProvisioner:
    """Reconciles claims that ask for a disk, volumes whose disk is to go, and what the cluster knows of the driver."""

    name = NAME

    def __init__(self, context: Context, disks: Disks) -> None:
        self._client, self._disks = context.client, disks
        informers = context.informers
        claims, all_volumes = informers.get(PERSISTENTVOLUMECLAIMS), informers.get(PERSISTENTVOLUMES)
        attached = informers.get(VOLUMEATTACHMENTS)
        self._claims, self._volumes = claims.lister, all_volumes.lister
        self._classes, self._attachments = informers.get(STORAGECLASSES).lister, attached.lister
        self._attachments.add_index(_OF_VOLUME, lambda each: (attachments.volume_of(each),))
        self._recorder = context.recorder(DISK_DRIVER)
        self._begun: set[str] = set()
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=4)
        claims.add_handler(self._claim_changed, on_delete=self._claim_gone)
        all_volumes.add_handler(self._volume_changed)
        attached.add_handler(on_delete=self._detached)

    def recall(self, other: DiskProvisioner) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._begun = set(other._begun)

    async def run(self) -> None:
        """Say that there is the driver, and work until cancelled."""
        self._queue.add(_DRIVER)
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Make the claim's disk and volume, or remove the volume's disk and volume."""
        if key == _DRIVER:
            await self._introduce()
            return None
        if key.startswith(_CLAIM):
            claim = self._claims.get_by_key(key.removeprefix(_CLAIM))
            return await self._provision(claim) if claim is not None and is_asked(claim, DISK_DRIVER) else None
        volume = self._volumes.get_by_key(key.removeprefix(_VOLUME))
        if volume is None or not attachments.disk_of(volume) or not is_to_be_deleted(volume, DISK_DRIVER):
            return None
        return await self._delete(volume)

    async def _introduce(self) -> None:
        """What of it is there already is the administrator's by now."""
        for resource, body in ((CSIDRIVERS, plan.render_driver()), (STORAGECLASSES, plan.render_class())):
            try:
                await self._client.create(resource, body)
            except ApiError as error:
                if not is_already_exists(error):
                    raise

    async def _provision(self, claim: Object) -> float | None:
        name = volume_name(claim)
        if self._volumes.get(name) is not None:
            return None  # the binder's turn
        storage_class = self._classes.get(volumes.class_name(claim))
        if storage_class is None or storage_class.get("provisioner") != DISK_DRIVER:
            return None
        if name not in self._begun:
            self._begun.add(name)
            text = f'External provisioner is provisioning volume for claim "{objects.key(claim)}"'
            self._recorder.event(claim, "Normal", "Provisioning", text)
        try:
            plan.check(claim, storage_class)
            size = await self._disks.create(plan.disk_id(name), plan.asked_size(claim))
        except (plan.Refusal, DiskProblem) as error:
            text = f'failed to provision volume with StorageClass "{objects.name(storage_class)}": {error}'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", text)
            return RETRY
        # Also when the claim went meanwhile: the volume says which disk there is, and is reclaimed as any other.
        await create_volume(self._client, plan.render_volume(claim, storage_class, size))
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        return None

    async def _delete(self, volume: Object) -> float | None:
        name = objects.name(volume)
        if not is_retained(volume):
            held = self._attachments.by_index(_OF_VOLUME, name)
            try:
                if held:
                    raise DiskProblem(
                        f"persistentvolume {name} is still attached to node {held[0]['spec']['nodeName']}"
                    )
                await self._disks.delete(attachments.disk_of(volume))
            except DiskProblem as error:
                self._recorder.event(volume, "Warning", "VolumeFailedDelete", str(error))
                return RETRY
        await forget_volume(self._client, volume)
        return None

    def _claim_changed(self, claim: Object) -> None:
        if is_asked(claim, DISK_DRIVER):
            self._queue.add(_CLAIM + objects.key(claim))

    def _claim_gone(self, claim: Object) -> None:
        self._begun.discard(volume_name(claim))

    def _volume_changed(self, volume: Object) -> None:
        self._begun.discard(objects.name(volume))
        if is_to_be_deleted(volume, DISK_DRIVER):
            self._queue.add(_VOLUME + objects.name(volume))

    def _detached(self, attachment: Object) -> None:
        self._queue.add(_VOLUME + attachments.volume_of(attachment))
