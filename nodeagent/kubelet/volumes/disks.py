"""The node's part of disk.kubelab.io: disks are staged once for the node, and given to its pods (pkg/volume/csi).

The driver is no process of its own: what NodeStageVolume, NodePublishVolume and NodeExpandVolume would be asked for is
done here, in the places where upstream's kubelet has CSI volumes. A disk is in use from before it is attached until
nothing on the node holds it any more; what is in use is found on disk, so a restart forgets nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from apimachinery.kit.commands import CommandError
from apimachinery.kit.files import write_atomic
from apimachinery.meta import attachments, objects, volumes
from apimachinery.meta.attachments import DISK_DRIVER, disk_of
from nodeagent.kubelet import pods
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod

from . import devices, filesystems, mounts
from .attaching import AttachmentReader
from .claims import Resolved
from .filesystems import MountProblem, Run
from .publishing import give_to_group, publish
from .setup_problem import SetupProblem

log = logging.getLogger(__name__)

Object = dict[str, Any]

_DATA = "vol_data.json"


class Disks:
    """The disks of this node. changed: called when the set of those in use has."""

    def __init__(self, paths: Paths, reader: AttachmentReader, run: Run) -> None:
        self._paths, self._reader, self._run = paths, reader, run
        self._users: dict[str, set[str]] = {}  # uids of pods, by disk
        self._lock = asyncio.Lock()
        self.changed: Callable[[], None] = lambda: None

    def in_use(self) -> Collection[str]:
        """What the Node's status.volumesInUse says."""
        return sorted(attachments.unique_handle(DISK_DRIVER, disk) for disk in self._staged())

    async def device(self, pod: Pod, resolved: Resolved) -> Path:
        """The raw device of a disk, once it is attached. Raises NotAttached, SetupProblem."""
        return await self._attached(pod, resolved.volume, "MapVolume.SetUpDevice")

    async def mount(self, pod: Pod, resolved: Resolved, gid: int | None) -> Path:
        """The disk's file system, mounted for the pod. Raises NotAttached, SetupProblem, OSError."""
        volume, name = resolved.volume, objects.name(resolved.volume)
        device = await self._attached(pod, volume, "MountVolume.MountDevice")
        target = self._paths.volume(pods.uid(pod), "csi", name) / "mount"
        async with self._lock:
            stage = self._stage(disk_of(volume)) / "globalmount"
            await self._mount_once(volume, device, stage)
            publish(stage, target, read_only=resolved.read_only)
        # The driver's fsGroupPolicy is ReadWriteOnceWithFSType, which every volume of it fulfils.
        await give_to_group(pod, target, gid, read_only=resolved.read_only)
        return target

    async def grow(self, volume: Object) -> None:
        """Make the mounted file system fill the disk. Raises MountProblem, CommandError, OSError."""
        disk = disk_of(volume)
        async with self._lock:
            device = devices.find_device(disk, self._read(disk).get("devicePath", ""))
            kind = await filesystems.probe(self._run, device)
            await devices.grow_mounted(self._run, device, self._stage(disk) / "globalmount", kind)

    async def release(self, uid: str = "") -> None:
        """The pod is gone with its folder, or nobody in particular: give up what no pod uses.

        What something still holds stays in use, and is not detached. Raises OSError when it was the pod's.
        """
        its = {disk for disk, users in self._users.items() if uid in users}
        async with self._lock:
            held: OSError | None = None
            given_up = [disk for disk in self._staged() if not self._is_used(disk, uid)]
            for disk in given_up:
                try:
                    self._unstage(disk)
                except OSError as error:
                    log.warning("UnmountDevice of disk %s: %s", disk, error)
                    held = error if disk in its else held
            left = {*self._staged()}
            # One that is held is still its last pod's, who will ask again.
            self._users = {disk: users - {uid} or users for disk, users in self._users.items() if disk in left}
            if given_up:
                self.changed()
            if held is not None:
                raise held

    async def _attached(self, pod: Pod, volume: Object, step: str) -> Path:
        disk = disk_of(volume)
        self._users.setdefault(disk, set()).add(pods.uid(pod))
        stage = self._stage(disk)
        if not (stage / _DATA).exists():
            # In use from now on: written down before anybody is told, told before anything is believed.
            self._write(volume, "")
            self.changed()
        path = await self._reader.device_path(volume)
        try:
            device = devices.find_device(disk, path)
        except MountProblem as error:
            raise SetupProblem(step, objects.name(volume), error) from error
        self._write(volume, str(device))
        return device

    async def _mount_once(self, volume: Object, device: Path, stage: Path) -> None:
        if mounts.is_bound(stage):
            return
        stage.mkdir(parents=True, exist_ok=True)
        kind = attachments.source(volume).get("fsType") or "ext4"
        options = volume["spec"].get("mountOptions") or ()
        try:
            await devices.grow_unmounted(self._run, device, await filesystems.probe(self._run, device))
            await filesystems.ensure_mounted(self._run, device, stage, kind, options=options)
        except (MountProblem, CommandError, OSError) as error:
            raise SetupProblem("MountVolume.MountDevice", objects.name(volume), error) from error

    def _unstage(self, disk: str) -> None:
        stage = self._stage(disk)
        for point in mounts.mounts_below(stage):
            mounts.unmount(point)
        hint = self._read(disk).get("devicePath", "")
        if hint:
            with contextlib.suppress(MountProblem):  # it is gone already, by force
                devices.check_free(devices.find_device(disk, hint))
        with contextlib.suppress(FileNotFoundError):
            (stage / "globalmount").rmdir()
        (stage / _DATA).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            stage.rmdir()

    def _is_used(self, disk: str, gone: str) -> bool:
        """By a pod that asked since we started, or by one that has it from before. gone: the uid of a pod that is."""
        if self._users.get(disk, set()) - {gone}:
            return True
        name = self._read(disk).get("specVolID", "")
        below = ("volumes/kubernetes.io~csi", "volumeDevices/kubernetes.io~csi")
        return any(next(self._paths.pods.glob(f"*/{each}/{name}"), None) is not None for each in below)

    def _staged(self) -> list[str]:
        found = []
        for file in self._root.glob(f"*/{_DATA}"):
            with contextlib.suppress(OSError, ValueError):
                found.append(str(json.loads(file.read_text())["volumeHandle"]))
        return found

    @property
    def _root(self) -> Path:
        return self._paths.root / "plugins" / "kubernetes.io" / "csi" / DISK_DRIVER

    def _stage(self, disk: str) -> Path:
        return self._root / hashlib.sha256(disk.encode()).hexdigest()

    def _read(self, disk: str) -> dict[str, str]:
        try:
            told: dict[str, str] = json.loads((self._stage(disk) / _DATA).read_text())
        except (OSError, ValueError):
            return {}
        return told

    def _write(self, volume: Object, device: str) -> None:
        stage = self._stage(disk_of(volume))
        stage.mkdir(parents=True, exist_ok=True)
        data = {
            "driverName": DISK_DRIVER,
            "volumeHandle": disk_of(volume),
            "specVolID": objects.name(volume),
            "volumeLifecycleMode": "Persistent",
            "volumeMode": volumes.mode(volume),
            "devicePath": device,
        }
        write_atomic(stage / _DATA, json.dumps(data))
