"""Disks of virtual machines: qcow2 files, hot-plugged as virtio devices that bear their id as serial number.

Who a disk is attached to is what the domains' definitions say; there is no second book. A disk is attached to the
running domain and to its definition, so that it is there after a reboot of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from controlplane.cloud.kubelab.disk_xml import disks_of, free_target, render_disk, render_volume
from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.kubelab.libvirtd import URI, Libvirtd, LibvirtProblem
from controlplane.cloud.provider import CloudProblem, DiskInUse, DiskNotFound, DiskProblem

Answer = TypeVar("Answer")

_DETACH = 60.0  # seconds that the machine's kernel may take to let go of a device; emulated ones are slow


class LibvirtDisks:
    """folder: of the files, a storage pool `kubelab-LAB-volumes` of libvirt's, made when it is first needed."""

    def __init__(self, lab: LabFile, folder: Path, uri: str = URI) -> None:
        self._lab, self._folder, self._libvirtd = lab, folder, Libvirtd(uri)

    async def create(self, disk: str, size: int) -> int:
        return await self._call(disk, lambda libvirt: self._create(libvirt, disk, size))

    async def delete(self, disk: str) -> None:
        await self._call(disk, lambda libvirt: self._delete(libvirt, disk))

    async def attach(self, disk: str, machine: str) -> str:
        return await self._call(disk, lambda libvirt: self._attach(libvirt, disk, machine))

    async def detach(self, disk: str, machine: str) -> None:
        await self._call(disk, lambda libvirt: self._detach(libvirt, disk, machine))

    async def resize(self, disk: str, size: int) -> int:
        return await self._call(disk, lambda libvirt: self._resize(libvirt, disk, size))

    async def attached(self) -> dict[str, str]:
        return await self._call("", lambda libvirt: dict(self._held(libvirt)))

    async def _call(self, disk: str, action: Callable[[Any], Answer]) -> Answer:
        try:
            return await self._libvirtd.call(action)
        except LibvirtProblem as error:
            raise DiskProblem(f"disk {disk}: {error}" if disk else str(error)) from error
        except (CloudProblem, OSError) as error:
            raise DiskProblem(str(error)) from error

    def _create(self, libvirt: Any, disk: str, size: int) -> int:
        volume = self._volume(libvirt, disk)
        if volume is None:
            volume = self._pool(libvirt).createXML(render_volume(disk, size))
        present = int(volume.info()[1])
        if present < size:
            raise DiskProblem(f"disk {disk} exists with {present} bytes, less than {size}")
        return present

    def _delete(self, libvirt: Any, disk: str) -> None:
        holder = dict(self._held(libvirt)).get(disk)
        if holder is not None:
            raise DiskInUse(f"disk {disk} is attached to {holder}")
        volume = self._volume(libvirt, disk)
        if volume is not None:
            volume.delete()

    def _attach(self, libvirt: Any, disk: str, machine: str) -> str:
        volume = self._existing(libvirt, disk)
        domain = self._domain(libvirt, machine)
        holder = dict(self._held(libvirt)).get(disk)
        if holder not in (None, machine):
            raise DiskInUse(f"disk {disk} is attached to {holder}")
        for flag in self._affected(libvirt, domain):
            shown = self._definition(libvirt, domain, flag)
            if disk not in disks_of(shown):
                # Of both definitions, so that a reboot does not find the name taken.
                taken = shown + self._definition(libvirt, domain, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
                domain.attachDeviceFlags(render_disk(disk, volume.path(), free_target(taken)), flag)
        return ""

    def _detach(self, libvirt: Any, disk: str, machine: str) -> None:
        domain = self._domain(libvirt, machine)
        for flag in reversed(self._affected(libvirt, domain)):
            if (held := disks_of(self._definition(libvirt, domain, flag)).get(disk)) is not None:
                domain.detachDeviceFlags(held, flag)
        # The definition is changed at once; a running machine's kernel lets go when it has noticed.
        end = time.monotonic() + _DETACH
        while domain.isActive() and disk in disks_of(domain.XMLDesc(0)):
            if time.monotonic() > end:
                raise DiskProblem(f"disk {disk}: {machine} does not let go of it")
            time.sleep(0.1)

    def _resize(self, libvirt: Any, disk: str, size: int) -> int:
        volume = self._existing(libvirt, disk)
        present = int(volume.info()[1])
        if size <= present:
            return present
        holder = dict(self._held(libvirt)).get(disk)
        domain = self._domain(libvirt, holder) if holder is not None else None
        if domain is not None and domain.isActive():
            domain.blockResize(volume.path(), size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        else:
            volume.resize(size)
        return size

    def _affected(self, libvirt: Any, domain: Any) -> list[int]:
        """What an attachment changes: the machine that runs, first, for it may refuse; then its definition."""
        live = [libvirt.VIR_DOMAIN_AFFECT_LIVE] if domain.isActive() else []
        return [*live, libvirt.VIR_DOMAIN_AFFECT_CONFIG]

    def _definition(self, libvirt: Any, domain: Any, flag: int) -> str:
        live = flag == libvirt.VIR_DOMAIN_AFFECT_LIVE
        return str(domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE))

    def _held(self, libvirt: Any) -> Iterator[tuple[str, str]]:
        for machine in self._lab.load().machines:
            try:
                domain = self._domain(libvirt, machine)
            except DiskNotFound:
                continue
            shown = [self._definition(libvirt, domain, flag) for flag in self._affected(libvirt, domain)]
            for disk in {each for text in shown for each in disks_of(text)}:
                yield disk, machine

    def _domain(self, libvirt: Any, machine: str) -> Any:
        spec = self._lab.load().machines.get(machine)
        if spec is None:
            raise DiskNotFound(f"there is no machine {machine}")
        try:
            domain = self._libvirtd.connection.lookupByName(spec.where)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise DiskNotFound(f"there is no machine {machine}") from error
            raise
        if spec.uuid and domain.UUIDString() != spec.uuid:
            raise DiskNotFound(f"there is no machine {machine}")  # another's, which has its name
        return domain

    def _pool(self, libvirt: Any) -> Any:
        name = f"kubelab-{self._lab.load().name}-volumes"
        try:
            pool = self._libvirtd.connection.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
                raise
            self._folder.mkdir(parents=True, exist_ok=True)
            path = f"<target><path>{self._folder}</path></target>"
            pool = self._libvirtd.connection.storagePoolDefineXML(f"<pool type='dir'><name>{name}</name>{path}</pool>")
        if not pool.isActive():
            pool.create()
        return pool

    def _volume(self, libvirt: Any, disk: str) -> Any | None:
        try:
            return self._pool(libvirt).storageVolLookupByName(f"{disk}.qcow2")
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
                return None
            raise

    def _existing(self, libvirt: Any, disk: str) -> Any:
        volume = self._volume(libvirt, disk)
        if volume is None:
            raise DiskNotFound(f"there is no disk {disk}")
        return volume
