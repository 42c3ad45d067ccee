"""Collecting: which containers there are says the runtime (two calls), what they use say files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.kubelet.cgroups import Cgroups
from nodeagent.kubelet.eviction.usage import Disk
from nodeagent.kubelet.node import machine as machines
from nodeagent.kubelet.node.machine import Filesystem
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.runtime import labels

from .cgroup import Reader, Usage
from .disk import DiskCache, writable_layer
from .network import Interface, read_interfaces


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """One running container. started: nanoseconds since the epoch. path: its cgroup. rootfs, logs: if asked for."""

    name: str
    id: str
    image: str
    started: int
    path: str
    usage: Usage
    rootfs: Disk | None = None
    logs: Disk | None = None


@dataclass(frozen=True, slots=True)
class VolumeStats:
    """What a volume holds, and the file system it is on. ephemeral: it counts as what the pod writes on the node.

    claim: the PersistentVolumeClaim's name, if it is one's.
    """

    used: Disk
    file_system: Filesystem
    ephemeral: bool
    claim: str = ""


@dataclass(frozen=True, slots=True)
class PodStats:
    """One pod with a ready sandbox. usage: of all its containers and the sandbox; the sandbox's own is in `sandbox`."""

    name: str
    namespace: str
    uid: str
    started: int
    path: str
    usage: Usage
    sandbox: ContainerStats
    interfaces: Sequence[Interface]
    containers: Sequence[ContainerStats] = ()
    processes: int = 0
    volumes: Mapping[str, VolumeStats] = field(default_factory=dict)


class Provider:
    """Asks and reads. find: the pod of a uid, if known. claimed: its claims' file systems and names, by volume."""

    def __init__(
        self,
        runtime: RuntimeService,
        cgroups: Cgroups,
        reader: Reader,
        disks: DiskCache,
        paths: Paths,
        find: Callable[[str], Pod | None],
        claimed: Callable[[Pod], Mapping[str, tuple[Path, str]]],
    ) -> None:
        self._runtime, self._cgroups, self.reader = runtime, cgroups, reader
        self._disks, self._paths, self._find, self._claimed = disks, paths, find, claimed

    async def pods(self, *, disks: bool = False) -> list[PodStats]:
        """Every pod that runs. disks: also what they have written. Raises RuntimeCallError."""
        boxes, containers = await asyncio.gather(self._runtime.list_pod_sandboxes(), self._runtime.list_containers())
        by_box: dict[str, list[cri.Container]] = {}
        for container in containers:
            if container.state == cri.CONTAINER_RUNNING and labels.POD_UID in container.labels:
                by_box.setdefault(container.pod_sandbox_id, []).append(container)
        places = self._cgroups.pod_paths()
        found = []
        for box in boxes:
            place = places.get(box.metadata.uid)
            if box.state == cri.SANDBOX_READY and labels.POD_UID in box.labels and place is not None:
                pod = self._pod(box, by_box.get(box.id, ()), place)
                if pod is not None:
                    found.append(await self._with_disks(pod) if disks else pod)
        if disks:
            self._disks.forget()
        return found

    def _pod(self, box: cri.PodSandbox, containers: Sequence[cri.Container], place: str) -> PodStats | None:
        usage, path = self.reader.usage(place), self._cgroups.container_path(place, box.id)
        own = self.reader.usage(path)
        if usage is None or own is None:
            return None  # It has ended since it was listed.
        process = next(iter(self._cgroups.tree.processes(path)), None)
        read = []
        for container in sorted(containers, key=lambda each: each.metadata.name):
            inside = self._cgroups.container_path(place, container.id)
            used = self.reader.usage(inside)
            if used is not None:
                image = container.image.user_specified_image or container.image.image
                read.append(
                    ContainerStats(container.metadata.name, container.id, image, container.created_at, inside, used)
                )
        return PodStats(
            name=box.metadata.name,
            namespace=box.metadata.namespace,
            uid=box.metadata.uid,
            started=box.created_at,
            path=place,
            usage=usage,
            sandbox=ContainerStats("", box.id, "", box.created_at, path, own),
            interfaces=read_interfaces(process) if process is not None else (),
            containers=read,
            processes=self._cgroups.tree.tasks(place),
        )

    async def _with_disks(self, pod: PodStats) -> PodStats:
        metadata = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
        logs = self._paths.pod_log_dir({"metadata": metadata})
        containers = []
        for each in pod.containers:
            layer = self._layer(each.path)
            rootfs = await self._disks.usage(layer) if layer is not None else None
            containers.append(replace(each, rootfs=rootfs, logs=await self._disks.usage(logs / each.name)))
        known = self._find(pod.uid)
        places = volume_places(known, self._paths) if known is not None else {}
        volumes = {
            name: VolumeStats(await self._disks.usage(place), machines.filesystem(place), ephemeral)
            for name, (place, ephemeral) in places.items()
        }
        if known is not None:
            volumes |= await self._claims(known)
        return replace(pod, containers=containers, volumes=volumes)

    async def claims(self) -> list[tuple[str, VolumeStats]]:
        """The namespace and file system of every claim that a pod uses here."""
        pods = [pod for uid in self._cgroups.pod_uids() if (pod := self._find(uid)) is not None]
        return [(pod["metadata"]["namespace"], each) for pod in pods for each in (await self._claims(pod)).values()]

    async def _claims(self, pod: Pod) -> dict[str, VolumeStats]:
        found = {}
        for name, (place, claim) in self._claimed(pod).items():
            # In a thread: a server of NFS that is gone lets it wait.
            system = await asyncio.to_thread(machines.filesystem, place)
            used = Disk(system.size - system.available, system.inodes - system.inodes_free)
            found[name] = VolumeStats(used, system, False, claim)
        return found

    def _layer(self, path: str) -> Path | None:
        for process in self._cgroups.tree.processes(path)[:1]:
            with contextlib.suppress(OSError):
                return writable_layer(Path(f"/proc/{process}/mountinfo").read_text())
        return None


_PLUGINS = {
    "emptyDir": "empty-dir",
    "configMap": "configmap",
    "secret": "secret",
    "downwardAPI": "downward-api",
    "projected": "projected",
}


def volume_places(pod: Pod, paths: Paths) -> dict[str, tuple[Path, bool]]:
    """The directories of the pod's volumes, by name, and whether they are the node's to limit: what upstream measures.

    hostPath is not measured, and what is in memory is no ephemeral storage.
    """
    found = {}
    for volume in pod["spec"].get("volumes") or ():
        kind = next((kind for kind in _PLUGINS if kind in volume), None)
        if kind is not None:
            place = paths.volume(pod["metadata"]["uid"], _PLUGINS[kind], volume["name"])
            on_disk = kind == "emptyDir" and (volume["emptyDir"] or {}).get("medium") in (None, "")
            found[volume["name"]] = (place, on_disk or kind == "configMap")
    return found
