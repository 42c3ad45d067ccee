"""Measuring the machine and its pods: memory from cgroups, file systems from statvfs, writable layers from the runtime.

Cheap signals are read every round; what pods have written is walked through only when a limit or a full disk asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.images import ImageService
from nodeagent.kubelet import pods
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.node import machine as machines
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.runtime import labels

from . import thresholds as signals
from .plan import Observation
from .usage import ContainerUsage, Disk, PodUsage


@dataclass(frozen=True, slots=True)
class Layout:
    """dedicated: images are on another file system than the kubelet's. split: writable layers not with the images."""

    dedicated: bool = False
    split: bool = False


class Meter:
    """Reads what eviction decides upon. allocatable_memory: bytes that all pods together may use."""

    def __init__(
        self,
        runtime: RuntimeService,
        images: ImageService,
        paths: Paths,
        cgroups: Cgroups,
        allocatable_memory: int,
        root: Path = Path("/"),
    ) -> None:
        self._runtime, self._images, self._paths, self._cgroups = runtime, images, paths, cgroups
        self._allocatable, self._root = allocatable_memory, root
        self._image_place: Path | None = None
        self.layout = Layout()

    async def image_place(self) -> Path:
        """Where the images are; the kubelet's own directory while the runtime does not say."""
        if self._image_place is None:
            usage = await self._images.filesystem()
            if usage is None or not usage.fs_id.mountpoint:
                return self._paths.root
            self._image_place = Path(usage.fs_id.mountpoint)
            # The layers of the snapshotter that the CRI names are both the images' and the containers'.
            dedicated = _device(self._image_place) != _device(self._paths.root)
            self.layout = Layout(dedicated=dedicated)
        return self._image_place

    async def observe(self) -> dict[str, Observation]:
        """Every signal that can be read. Raises RuntimeCallError, OSError."""
        found = {signals.MEMORY: node_memory((self._root / "proc/meminfo").read_text())}
        used = working_set(self._cgroups.tree.folder("memory", self._cgroups.pods_path()))
        if used is not None:
            found[signals.ALLOCATABLE_MEMORY] = Observation(max(0, self._allocatable - used), self._allocatable)
        node = machines.filesystem(self._paths.root)
        image = machines.filesystem(await self.image_place())
        container = image if self.layout.dedicated and not self.layout.split else node
        for fs, (available, inodes) in (
            (node, (signals.NODEFS, signals.NODEFS_INODES)),
            (image, (signals.IMAGEFS, signals.IMAGEFS_INODES)),
            (container, (signals.CONTAINERFS, signals.CONTAINERFS_INODES)),
        ):
            found[available] = Observation(fs.available, fs.size)
            # Some file systems (btrfs) have no fixed number of inodes and say 0: that is no shortage.
            if fs.inodes:
                found[inodes] = Observation(fs.inodes_free, fs.inodes)
        running, most = machines.processes(self._root)
        found[signals.PIDS] = Observation(most - running, most)
        return found

    async def usage(self, active: Collection[Pod], *, disks: bool) -> dict[str, PodUsage]:
        """What these pods use, by uid. disks: also what they have written. Raises RuntimeCallError.

        As upstream, of containers that run: what others left in their layers is nobody's excess any more.
        """
        listed = await self._runtime.list_containers()
        layers = await self._layers() if disks else {}
        by_pod: dict[str, list[cri.Container]] = {}
        for container in listed:
            if container.state != cri.CONTAINER_RUNNING:
                continue
            by_pod.setdefault(container.labels.get(labels.POD_UID, ""), []).append(container)
        found = {}
        for pod in active:
            containers = by_pod.get(pods.uid(pod), [])
            used = await asyncio.to_thread(self._pod, pod, containers, layers if disks else None)
            if used is not None:
                found[pods.uid(pod)] = used
        return found

    async def _layers(self) -> dict[str, Disk]:
        return {
            stats.attributes.id: Disk(stats.writable_layer.used_bytes.value, stats.writable_layer.inodes_used.value)
            for stats in await self._runtime.container_stats()
        }

    def _pod(self, pod: Pod, containers: list[cri.Container], layers: Mapping[str, Disk] | None) -> PodUsage | None:
        tree, path = self._cgroups.tree, self._cgroups.pod_path(pods.uid(pod))
        memory = working_set(tree.folder("memory", path)) if path is not None else None
        if path is None or memory is None:
            return None
        measured = []
        for container in containers:
            inside = working_set(tree.folder("memory", self._cgroups.container_path(path, container.id)))
            if inside is None and layers is None:
                continue  # It has ended meanwhile.
            name = container.labels.get(labels.CONTAINER_NAME, "")
            logs = directory_usage(self._paths.pod_log_dir(pod) / name) if layers is not None else None
            layer = layers.get(container.id, Disk()) if layers is not None else None
            measured.append(ContainerUsage(name, inside, layer, logs))
        volumes = dict(self._volumes(pod)) if layers is not None else {}
        processes = _number(tree.folder("pids", path) / "pids.current") or 0
        return PodUsage(memory, processes, tuple(measured), volumes)

    def _volumes(self, pod: Pod) -> Iterator[tuple[str, Disk]]:
        for volume in pod["spec"].get("volumes") or ():
            source = volume.get("emptyDir")
            if source is not None and not source.get("medium"):
                yield volume["name"], directory_usage(self._paths.volume(pods.uid(pod), "empty-dir", volume["name"]))
            elif "configMap" in volume:
                yield volume["name"], directory_usage(self._paths.volume(pods.uid(pod), "configmap", volume["name"]))


def node_memory(meminfo: str) -> Observation:
    """The machine's memory less its working set, from /proc/meminfo: what cgroup v2's root would say, on v1 too."""
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in meminfo.splitlines() if line}
    total = kib["MemTotal"]
    return Observation(min(total, kib["MemFree"] + kib["Inactive(file)"]) * 1024, total * 1024)


def working_set(folder: Path) -> int | None:
    """Bytes that a cgroup needs: all it uses less the file pages that the kernel would drop. None when it is gone."""
    usage = _number(folder / "memory.current")
    key = "inactive_file"
    if usage is None:
        usage, key = _number(folder / "memory.usage_in_bytes"), "total_inactive_file"
    if usage is None:
        return None
    with contextlib.suppress(OSError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, amount = line.partition(" ")
            if name == key:
                return max(0, usage - int(amount))
    return usage


def directory_usage(place: Path) -> Disk:
    """What is in a directory, counted as du does: blocks, a file with several names once, one file system."""
    try:
        device = os.lstat(place).st_dev
    except OSError:
        return Disk()
    blocks = inodes = 0
    linked: set[int] = set()
    waiting = [place]
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device or status.st_ino in linked:
                        continue
                    if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        linked.add(status.st_ino)
                    blocks += status.st_blocks
                    inodes += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
    return Disk(blocks * 512, inodes)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _device(place: Path) -> int:
    while not place.exists():
        place = place.parent
    return place.stat().st_dev
