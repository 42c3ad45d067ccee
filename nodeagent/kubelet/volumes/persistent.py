"""Mounting what stands behind a claim: local directories and devices, hostPath, NFS (pkg/volume/{local,hostpath,nfs}).

What is mounted for a pod is written down in its folder: after a restart, and with the API away, a running pod keeps its
volumes without anybody being asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from apimachinery.kit.commands import CommandError
from apimachinery.kit.files import write_atomic
from apimachinery.meta import objects, volumes
from apimachinery.meta.attachments import disk_of
from nodeagent.kubelet import pods
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder

from . import filesystems, mounts
from .claims import ClaimReader, Resolved
from .devices import is_disk
from .disks import Disks
from .filesystems import MountProblem, Run
from .host_path import check_host_path
from .payload import PayloadProblem
from .publishing import give_to_group, publish
from .setup_problem import SetupProblem

Object = dict[str, Any]

_NO_DRIVER = {
    "MountVolume.MountDevice": "attacher.MountDevice failed to create newCsiDriverClient",
    "MountVolume.SetUp": "mounter.SetUpAt failed to get CSI client",
    "MapVolume.SetUpDevice": "blockMapper.SetUpDevice failed to get CSI client",
}
_NEW_MOUNTER = "MountVolume.NewMounter initialization"
_ALONE = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"


@dataclass(frozen=True, slots=True)
class Placed:
    """A claim's volume on the node. path: what containers are given. own: it is a mount of ours, to be looked for.
    disk: the id of the lab's disk that it is, "" for others. group: that may use it; the pod's processes are in it."""

    claim: str
    volume: str
    path: str
    writable: bool = True
    block: bool = False
    own: bool = False
    disk: str = ""
    group: int | None = None


def _stands(placed: Placed) -> bool:
    """Whether it is still there."""
    if placed.own and not mounts.is_bound(Path(placed.path)):
        return False
    # The machine may have been started again, and name its devices anew.
    return not (placed.disk and placed.block) or is_disk(Path(placed.path).resolve().name, placed.disk)


class PersistentMounter:
    """Sets volumes up. They are taken away with the pod's folder, and `release` does the rest."""

    def __init__(self, paths: Paths, reader: ClaimReader, disks: Disks, run: Run, recorder: Recorder) -> None:
        self._paths, self._reader, self._disks, self._run = paths, reader, disks, run
        self._recorder = recorder
        self._known: dict[str, dict[str, Placed]] = {}
        self._devices, self._alone = asyncio.Lock(), asyncio.Lock()

    def placed(self, pod: Pod) -> dict[str, Placed]:
        """What is set up for the pod, by the name of the volume in the pod."""
        return self._of(pods.uid(pod))

    def _of(self, uid: str) -> dict[str, Placed]:
        if uid not in self._known:
            try:
                told = json.loads(self._record(uid).read_text())
                self._known[uid] = {name: Placed(**fields) for name, fields in told.items()}
            except (OSError, ValueError, TypeError):
                self._known[uid] = {}
        return self._known[uid]

    def standing(self, pod: Pod, name: str) -> Placed | None:
        """The volume if it is set up, and still there."""
        placed = self.placed(pod).get(name)
        return placed if placed is not None and _stands(placed) else None

    def _elsewhere(self, pod: Pod, volume: str) -> bool:
        """Whether another pod of the node has the volume set up."""
        others = (entry.name for entry in self._paths.pods.iterdir() if entry.name != pods.uid(pod))
        found = (placed for uid in others for placed in self._of(uid).values() if placed.volume == volume)
        return any(_stands(placed) for placed in found)

    async def ensure(self, pod: Pod, volume: Mapping[str, Any], resolved: Resolved, gid: int | None) -> Placed:
        """Set the volume up. Raises SetupProblem, NotAttached, ApiError, ApiUnreachable."""
        behind, name = resolved.volume, objects.name(resolved.volume)
        step = "MapVolume.SetUpDevice" if volumes.mode(behind) == "Block" else "MountVolume.SetUp"
        why = await self._reader.check_node(behind)
        if why:
            raise SetupProblem(f"{step.partition('.')[0]}.NodeAffinity check", name, why)
        if behind["spec"].get("accessModes") != ["ReadWriteOncePod"]:
            return await self._set_up(pod, volume, resolved, gid, step)
        async with self._alone:
            if self._elsewhere(pod, name):
                raise SetupProblem(step, name, _ALONE)
            return await self._set_up(pod, volume, resolved, gid, step)

    async def _set_up(
        self, pod: Pod, volume: Mapping[str, Any], resolved: Resolved, gid: int | None, step: str
    ) -> Placed:
        behind, name = resolved.volume, objects.name(resolved.volume)
        try:
            if volumes.mode(behind) == "Block":
                placed = await self._map(pod, resolved)
            elif "local" in behind["spec"]:
                placed = await self._local(pod, resolved, gid)
            elif "hostPath" in behind["spec"]:
                if behind["spec"].get("mountOptions"):
                    why = "Mount options are not supported for this volume type"
                    raise SetupProblem("MountVolume.MountOptionSupport check", name, why)
                path = check_host_path(behind["spec"]["hostPath"])
                placed = Placed(resolved.claim, name, str(path), not resolved.read_only)
            elif disk_of(behind):
                mounted = await self._disks.mount(pod, resolved, gid)
                placed = Placed(
                    resolved.claim, name, str(mounted), not resolved.read_only, own=True, disk=disk_of(behind)
                )
            elif "nfs" in behind["spec"]:
                placed = await self._nfs(pod, resolved)
            else:
                raise unsupported(name, behind["spec"])
        except (OSError, MountProblem, PayloadProblem, CommandError) as error:
            raise SetupProblem(step, name, error) from error
        known = self.placed(pod)
        placed = known[volume["name"]] = replace(placed, group=_group(behind))
        write_atomic(self._record(pods.uid(pod)), json.dumps({key: asdict(each) for key, each in known.items()}))
        return placed

    async def _local(self, pod: Pod, resolved: Resolved, gid: int | None) -> Placed:
        behind, name = resolved.volume, objects.name(resolved.volume)
        source = Path(behind["spec"]["local"]["path"])
        if not source.exists():
            raise SetupProblem(_NEW_MOUNTER, name, f'path "{source}" does not exist')
        if not source.is_dir() and not filesystems.is_block_device(source):
            raise SetupProblem(_NEW_MOUNTER, name, "only directory and block device are supported")
        target = self._paths.volume(pods.uid(pod), "local-volume", name)
        async with self._devices:
            if device := filesystems.is_block_device(source):
                source = await self._device(behind, source, resolved.read_only)
            shared = any(place != target and place.name == name for place in self._bound())
            publish(source, target, read_only=resolved.read_only)
            options = behind["spec"].get("mountOptions")
            if options and not device:
                await filesystems.restrict(self._run, target, options, read_only=resolved.read_only)
        if gid is not None and shared:
            # It is the first pod's; who uses it would lose it.
            self._warn_of_group(pod, name, gid, source.stat().st_gid)
        else:
            await give_to_group(pod, target, gid, read_only=resolved.read_only)
        return Placed(resolved.claim, name, str(target), not resolved.read_only, own=True)

    def _warn_of_group(self, pod: Pod, name: str, asked: int, held: int) -> None:
        if asked != held:
            text = f"The requested fsGroup is {asked}, but the volume {name} has GID {held}."
            message = f"{text} The volume may not be shareable."
            self._recorder.pod(pod, "Warning", "AlreadyMountedVolume", message)

    async def _device(self, behind: Object, device: Path, read_only: bool) -> Path:
        """Mount the device once for the whole node."""
        place = self._globals / objects.name(behind)
        place.mkdir(parents=True, exist_ok=True)
        if not mounts.is_bound(place):
            kind = behind["spec"]["local"].get("fsType") or "ext4"
            options = behind["spec"].get("mountOptions") or ()
            try:
                await filesystems.ensure_mounted(self._run, device, place, kind, options=options, read_only=read_only)
            except (MountProblem, CommandError) as error:
                why = f"local: failed to mount device {device} at {place} (fstype: {kind}), error {error}"
                raise SetupProblem("MountVolume.MountDevice", objects.name(behind), why) from error
        return place

    async def _nfs(self, pod: Pod, resolved: Resolved) -> Placed:
        behind, name = resolved.volume, objects.name(resolved.volume)
        share = behind["spec"]["nfs"]
        target = self._paths.volume(pods.uid(pod), "nfs", name)
        read_only = resolved.read_only or bool(share.get("readOnly"))
        await mount_nfs(self._run, share, target, behind["spec"].get("mountOptions") or (), read_only)
        return Placed(resolved.claim, name, str(target), not read_only, own=True)

    async def _map(self, pod: Pod, resolved: Resolved) -> Placed:
        """A raw device: a symlink in the pod's folder, the device itself for the containers."""
        behind, name = resolved.volume, objects.name(resolved.volume)
        disk = disk_of(behind)
        if disk:
            device = await self._disks.device(pod, resolved)
        elif "local" in behind["spec"]:
            device = _local_device(behind)
        else:
            raise unsupported(name, behind["spec"], "MapVolume.SetUpDevice")
        link = self._paths.volume_devices(pods.uid(pod), "csi" if disk else "local-volume") / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and link.readlink() != device:
            link.unlink()  # plugged in again since, as another device
        if not link.is_symlink():
            link.symlink_to(device)
        return Placed(resolved.claim, name, str(device), not resolved.read_only, block=True, disk=disk)

    async def release(self, uid: str) -> None:
        """The pod's folder is gone: unmount the devices that no pod uses any more. Raises OSError."""
        self._known.pop(uid, None)
        await self._disks.release(uid)
        if not self._globals.is_dir():
            return
        async with self._devices:
            used = {place.name for place in self._bound()}
            for place in self._globals.iterdir():
                if place.name not in used:
                    for point in mounts.mounts_below(place):
                        mounts.unmount(point)
                    with contextlib.suppress(OSError):
                        place.rmdir()

    def _bound(self) -> list[Path]:
        """Where pods have local volumes."""
        return [Path(point) for point in mounts.mounts_below(self._paths.pods) if "~local-volume/" in point]

    @property
    def _globals(self) -> Path:
        return self._paths.root / "plugins" / "kubernetes.io" / "local-volume" / "mounts"

    def _record(self, uid: str) -> Path:
        return self._paths.pod(uid) / "claims.json"


def _group(behind: Object) -> int | None:
    """The group that the volume's annotation names."""
    told = objects.annotations(behind).get("pv.beta.kubernetes.io/gid") or ""
    return int(told) if re.fullmatch(r"[+-]?[0-9]+", told) else None


def _local_device(behind: Object) -> Path:
    device, name = Path(behind["spec"]["local"]["path"]), objects.name(behind)
    try:
        found = device.resolve(strict=True)
    except OSError as error:
        why = f"lstat {error.filename}: {(error.strerror or '').lower()}"
        raise SetupProblem("MapVolume.EvalHostSymlinks", name, why) from error
    if not filesystems.is_block_device(found):
        raise SetupProblem("MapVolume.MapBlockVolume", name, f"{device} is not a block device")
    return device  # not what it leads to, which may be another after the machine's next start


async def mount_nfs(
    run: Run, share: Mapping[str, Any], target: Path, options: Any = (), read_only: bool = False
) -> None:
    """Mount a share. Raises MountProblem, OSError, CommandError."""
    target.mkdir(parents=True, exist_ok=True)
    if mounts.is_bound(target):
        return
    arguments = [*options, *(["ro"] if read_only else [])]
    try:
        await filesystems.mount(run, f"{share['server']}:{share['path']}", target, "nfs", arguments)
    except BaseException:
        with contextlib.suppress(OSError):
            target.rmdir()
        raise


def unsupported(name: str, spec: Mapping[str, Any], step: str = "MountVolume.MountDevice") -> SetupProblem:
    """What upstream says of a volume that no part of this node can mount. step: the one that asks for a CSI driver."""
    if "csi" in spec:
        driver = f"driver name {spec['csi'].get('driver')} not found in the list of registered CSI drivers"
        return SetupProblem(step, name, f"kubernetes.io/csi: {_NO_DRIVER[step]}: {driver}")
    return SetupProblem("MountVolume.SetUp", name, "no volume plugin matched")
