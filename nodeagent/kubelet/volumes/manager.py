"""Putting a pod's volumes on the node, refreshing them, and taking them away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import Clock
from apimachinery.meta.quantity import value
from apimachinery.meta.status import ApiError
from nodeagent.kubelet import pods
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.objects import ApiAway, ObjectStore
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod

from . import mounts, payload
from .atomic import write_payload
from .payload import Payload, PayloadProblem
from .tokens import TokenManager

log = logging.getLogger(__name__)

_FILLED = ("configMap", "secret", "downwardAPI", "projected")


class VolumeProblem(Exception):
    """A volume could not be set up: event FailedMount. The text is that event's message."""


@dataclass(frozen=True, slots=True)
class HostVolume:
    """Where a volume is on the node. writable: whether containers may ever write to it."""

    path: Path
    writable: bool = True


class VolumeManager:
    """All volumes of all pods of this node. Every method may be repeated."""

    def __init__(self, paths: Paths, store: ObjectStore, tokens: TokenManager, clock: Clock) -> None:
        self._paths, self._store, self._tokens, self._clock = paths, store, tokens, clock
        self._since: dict[str, float] = {}

    async def ensure(self, pod: Pod, ips: Sequence[str], node: NodeFacts) -> dict[str, HostVolume]:
        """Set up and refresh every volume of the pod; returns them by name. Raises VolumeProblem."""
        since = self._since.setdefault(pods.uid(pod), self._clock.monotonic())
        ready: dict[str, HostVolume] = {}
        for volume in pod["spec"].get("volumes") or ():
            name = volume["name"]
            try:
                ready[name] = await self._ensure_one(pod, volume, ips, node, since)
            except (PayloadProblem, ApiAway, ApiError, ApiUnreachable, OSError) as error:
                raise VolumeProblem(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        return ready

    async def remove(self, uid: str) -> None:
        """Unmount and delete everything of the pod. Raises OSError when something cannot be unmounted."""
        self._since.pop(uid, None)
        self._tokens.forget(uid)
        folder = self._paths.pod(uid)
        if folder.is_dir():
            await asyncio.to_thread(_remove_tree, folder)

    def pod_uids(self) -> set[str]:
        """The pods that have a folder."""
        return {entry.name for entry in self._paths.pods.iterdir()} if self._paths.pods.is_dir() else set()

    async def _ensure_one(
        self, pod: Pod, volume: Mapping[str, Any], ips: Sequence[str], node: NodeFacts, since: float
    ) -> HostVolume:
        uid, name, gid = pods.uid(pod), volume["name"], _fs_group(pod)
        if "hostPath" in volume:
            return HostVolume(check_host_path(volume["hostPath"]))
        if "emptyDir" in volume or not set(volume) - {"name"}:
            source = volume.get("emptyDir") or {}
            return HostVolume(self._empty_dir(self._paths.volume(uid, "empty-dir", name), source, gid))
        kind = next((kind for kind in _FILLED if kind in volume), None)
        if kind is None:
            plugin = next(iter(set(volume) - {"name"}))
            raise PayloadProblem(f"no volume plugin matched: {plugin}")
        place = self._paths.volume(uid, {"downwardAPI": "downward-api"}.get(kind, kind.lower()), name)
        place.mkdir(parents=True, exist_ok=True)
        if kind != "configMap" and not mounts.is_mount_point(place):
            # As upstream: what is secret, or may be, never reaches the disk.
            mounts.mount_tmpfs(place)
        content = await self._content(pod, kind, volume[kind], ips, node, since)
        place.chmod(0o777 | (stat.S_ISVTX if kind != "configMap" else 0))
        write_payload(place, content, now=self._clock.now(), gid=gid)
        return HostVolume(place, writable=False)

    async def _content(
        self, pod: Pod, kind: str, source: Mapping[str, Any], ips: Sequence[str], node: NodeFacts, since: float
    ) -> Payload:
        namespace, mode = pod["metadata"]["namespace"], payload.default_mode(source)
        if kind == "downwardAPI":
            return payload.downward_files(pod, source.get("items"), mode, ips, node)
        wanted: list[tuple[str, str]] = []
        if kind in ("configMap", "secret"):
            wanted = [(kind, source["name"] if kind == "configMap" else source["secretName"])]
        token_sources = []
        for part in source.get("sources") or ():
            wanted += [(key, part[key]["name"]) for key in ("configMap", "secret") if key in part]
            if "serviceAccountToken" in part:
                token_sources.append(part["serviceAccountToken"])
        *objects, tokens = await asyncio.gather(
            *(self._store.get(key, namespace, name, since) for key, name in wanted),
            self._all_tokens(pod, token_sources),
        )
        found: dict[tuple[str, str], Any] = dict(zip(wanted, objects, strict=True))

        def lookup(key: str, name: str) -> Mapping[str, Any] | None:
            held: Mapping[str, Any] | None = found.get((key, name))
            return held

        if kind == "projected":
            return payload.projected_files(pod, source, lookup=lookup, tokens=dict(tokens or {}), ips=ips, node=node)
        return payload.object_files(source, kind, wanted[0][1], mode, lookup)

    async def _all_tokens(self, pod: Pod, sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        return {source["path"]: await self._tokens.token(pod, source) for source in sources}

    def _empty_dir(self, place: Path, source: Mapping[str, Any], gid: int | None) -> Path:
        made = not place.is_dir()
        place.mkdir(parents=True, exist_ok=True)
        if source.get("medium") == "Memory" and not mounts.is_mount_point(place):
            limit = source.get("sizeLimit")
            mounts.mount_tmpfs(place, value(str(limit)) if limit else 0)
            made = True
        if made:
            place.chmod(0o777)
            if gid is not None:
                os.chown(place, -1, gid)
                place.chmod(0o2777)
        return place


def _fs_group(pod: Pod) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def check_host_path(source: Mapping[str, Any]) -> Path:
    """The path, of the type that is asked for; *OrCreate makes it. Raises PayloadProblem."""
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    if kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    checks = {
        "Directory": (path.is_dir, "directory"),
        "DirectoryOrCreate": (path.is_dir, "directory"),
        "File": (path.is_file, "file"),
        "FileOrCreate": (path.is_file, "file"),
        "Socket": (path.is_socket, "socket file"),
        "CharDevice": (path.is_char_device, "character device"),
        "BlockDevice": (path.is_block_device, "block device"),
    }
    if kind in checks and not checks[kind][0]():
        raise PayloadProblem(f"hostPath type check failed: {path} is not a {checks[kind][1]}")
    return path


def _remove_tree(folder: Path) -> None:
    """Delete a pod's folder after unmounting all below it: nothing of another file system is ever deleted."""
    for point in mounts.mounts_below(folder):
        mounts.unmount(point)
    if mounts.mounts_below(folder):
        raise OSError(f"{folder} still has mounts")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
