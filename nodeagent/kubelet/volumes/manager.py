"""Putting a pod's volumes on the node, refreshing them, and taking them away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit import commands
from apimachinery.kit.clock import Clock
from apimachinery.meta import volumes
from apimachinery.meta.status import ApiError
from nodeagent.kubelet import pods
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.objects import ApiAway, ObjectStore
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder

from . import mounts, payload
from .atomic import write_payload
from .attaching import AttachmentReader, NotAttached
from .attempts import Attempts, Told
from .attempts import VolumeProblem as VolumeProblem
from .claims import ClaimReader, ProcessProblem
from .disks import Disks
from .empty_dir import ensure_empty_dir
from .expanding import Expander
from .filesystems import MountProblem, Run
from .host_path import check_host_path
from .nested import make_mount_points
from .payload import Payload, PayloadProblem
from .persistent import PersistentMounter, mount_nfs, unsupported
from .setup_problem import FAILED_MOUNT, SetupProblem
from .tokens import TokenManager, TokenProblem

log = logging.getLogger(__name__)

_FILLED = ("configMap", "secret", "downwardAPI", "projected")
_SETUP = (PayloadProblem, ApiAway, ApiError, ApiUnreachable, OSError, MountProblem, commands.CommandError)


@dataclass(frozen=True, slots=True)
class HostVolume:
    """Where a volume is on the node. writable: whether containers may ever write to it. block: it is a raw device.

    group: that the pod's processes are in, too, for its sake.
    """

    path: Path
    writable: bool = True
    block: bool = False
    group: int | None = None


class VolumeManager:
    """All volumes of all pods of this node. Every method may be repeated.

    disks: those that are plugged in for pods. image_volumes: the gate ImageVolume; it is the runtime that mounts them.
    """

    def __init__(
        self,
        paths: Paths,
        store: ObjectStore,
        tokens: TokenManager,
        claims: ClaimReader,
        clock: Clock,
        recorder: Recorder,
        run: Run = commands.run,
        *,
        image_volumes: bool = False,
    ) -> None:
        self._recorder, self._image_volumes = recorder, image_volumes
        self._paths, self._store, self._tokens, self._claims = paths, store, tokens, claims
        self._clock, self._run = clock, run
        self.disks = Disks(paths, AttachmentReader(claims.client, claims.node), run)
        self._persistent = PersistentMounter(paths, claims, self.disks, run, recorder)
        self._expander = Expander(claims.client, self.disks, recorder, clock, claims.node)
        self._attempts = Attempts(clock)
        self._since: dict[str, float] = {}
        self._checked: set[tuple[str, str]] = set()  # hostPath volumes by their pod's uid

    def look_ahead(self, pod: Pod) -> None:
        """Ask for the tokens that the pod's volumes will hold, so that `ensure` need not wait for them."""
        for volume in _used(pod):
            for source in _token_sources(volume.get("projected") or {}):
                self._tokens.look_ahead(pod, source)

    async def ensure(self, pod: Pod, ips: Sequence[str], node: NodeFacts) -> dict[str, HostVolume]:
        """Set up and refresh every volume that the pod's containers use; returns them by name. Raises VolumeProblem."""
        uid = pods.uid(pod)
        since = self._since.setdefault(uid, self._clock.monotonic())
        ready: dict[str, HostVolume] = {}
        failures: dict[str, Told] = {}
        lost: dict[str, str] = {}
        waiting: list[str] = []
        for volume in _used(pod):
            name = volume["name"]
            if self._image_volumes and "image" in volume:
                continue
            if not self._attempts.is_due(uid, name):
                if (filled := self._filled(pod, volume)) is not None:
                    ready[name] = filled
                else:
                    waiting.append(name)
                continue
            try:
                ready[name] = await self._ensure_one(pod, volume, ips, node, since)
            except ProcessProblem as error:
                lost[name] = str(error)
                continue
            except NotAttached as error:
                log.debug("Volume %s of pod %s: %s", name, uid, error)
                self._attempts.unattached(uid, name)
                waiting.append(name)
                continue
            except SetupProblem as error:
                failures[name] = error.reason, str(error)
            except _SETUP as error:
                failures[name] = FAILED_MOUNT, f'MountVolume.SetUp failed for volume "{name}" : {error}'
            else:
                self._attempts.succeeded(uid, name)
                continue
            self._attempts.failed(uid, name)
            if (filled := self._filled(pod, volume)) is not None:
                # It cannot be made fresh; what it holds is what containers go on with.
                self._recorder.pod(pod, "Warning", *failures.pop(name))
                ready[name] = filled
        if failures or waiting or lost:
            raise self._attempts.problem(uid, failures, waiting, lost)
        self._attempts.done(uid)
        return ready

    async def remove(self, uid: str) -> None:
        """Unmount and delete everything of the pod. Raises OSError when something cannot be unmounted."""
        self._since.pop(uid, None)
        self._checked = {each for each in self._checked if each[0] != uid}
        self._tokens.forget(uid)
        self._attempts.forget(uid)
        self._expander.forget(uid)
        folder = self._paths.pod(uid)
        if folder.is_dir():
            await asyncio.to_thread(_remove_tree, folder)
        await self._persistent.release(uid)

    def pod_uids(self) -> set[str]:
        """The pods that have a folder."""
        return {entry.name for entry in self._paths.pods.iterdir()} if self._paths.pods.is_dir() else set()

    def claimed(self, pod: Pod) -> dict[str, tuple[Path, str]]:
        """The file systems behind the pod's claims, by volume: their place and the claim's name (for statistics)."""
        return {
            name: (Path(placed.path), placed.claim)
            for name, placed in self._persistent.placed(pod).items()
            if not placed.block
        }

    async def _ensure_one(
        self, pod: Pod, volume: Mapping[str, Any], ips: Sequence[str], node: NodeFacts, since: float
    ) -> HostVolume:
        uid, name, gid = pods.uid(pod), volume["name"], _fs_group(pod)
        claim = next(((claim, own) for each, claim, own in volumes.pod_claims(pod) if each is volume), None)
        if claim is not None:
            return await self._ensure_claim(pod, volume, *claim, gid)
        if "hostPath" in volume:
            if (uid, name) not in self._checked:
                check_host_path(volume["hostPath"])
                # What becomes of the path later keeps no container from being restarted.
                self._checked.add((uid, name))
            return HostVolume(Path(volume["hostPath"]["path"]))
        if "emptyDir" in volume or not set(volume) - {"name"}:
            place, source = self._paths.volume(uid, "empty-dir", name), volume.get("emptyDir") or {}
            memory = (node.allocatable or {}).get("memory", 0)
            return HostVolume(ensure_empty_dir(place, pod, source, gid=gid, allocatable=memory))
        if "nfs" in volume:
            target, read_only = self._paths.volume(uid, "nfs", name), bool(volume["nfs"].get("readOnly"))
            await mount_nfs(self._run, volume["nfs"], target, read_only=read_only)
            return HostVolume(target, not read_only)
        kind = next((kind for kind in _FILLED if kind in volume), None)
        if kind is None:
            if "csi" in volume:
                raise unsupported(name, volume, "MountVolume.SetUp")
            why = f'failed to get Plugin from volumeSpec for volume "{name}" err=no volume plugin matched'
            raise ProcessProblem(why)
        content = await self._content(pod, kind, volume[kind], ips, node, since)
        place = self._filled_place(uid, kind, name)
        place.mkdir(parents=True, exist_ok=True)
        if kind != "configMap" and not mounts.is_mount_point(place):
            # As upstream: what is secret, or may be, never reaches the disk.
            mounts.mount_tmpfs(place)
        if place.stat().st_mode & 0o777 != 0o777:  # a tmpfs is everybody's already
            place.chmod(0o777)
        make_mount_points(pod, name, place)
        write_payload(place, content, now=self._clock.now(), gid=gid)
        return HostVolume(place, writable=False)

    def _filled_place(self, uid: str, kind: str, name: str) -> Path:
        return self._paths.volume(uid, {"downwardAPI": "downward-api"}.get(kind, kind.lower()), name)

    def _filled(self, pod: Pod, volume: Mapping[str, Any]) -> HostVolume | None:
        """A volume of files that was filled before."""
        kind = next((kind for kind in _FILLED if kind in volume), None)
        place = self._filled_place(pods.uid(pod), kind, volume["name"]) if kind is not None else None
        return HostVolume(place, writable=False) if place is not None and (place / "..data").is_dir() else None

    async def _ensure_claim(
        self, pod: Pod, volume: Mapping[str, Any], claim: str, ephemeral: bool, gid: int | None
    ) -> HostVolume:
        placed = self._persistent.standing(pod, volume["name"])
        if placed is None:
            resolved = await self._claims.resolve(pod, volume, claim, ephemeral)
            placed = await self._persistent.ensure(pod, volume, resolved, gid)
        if placed.disk and not placed.block and placed.writable:
            await self._expander.look(pod, placed.claim)
        return HostVolume(Path(placed.path), placed.writable, placed.block, placed.group)

    async def _content(
        self, pod: Pod, kind: str, source: Mapping[str, Any], ips: Sequence[str], node: NodeFacts, since: float
    ) -> Payload:
        namespace, mode = pod["metadata"]["namespace"], payload.default_mode(source)
        if kind == "downwardAPI":
            return payload.downward_files(pod, source.get("items"), mode, ips, node)
        wanted: list[tuple[str, str]] = []
        if kind in ("configMap", "secret"):
            wanted = [(kind, source["name"] if kind == "configMap" else source["secretName"])]
        for part in source.get("sources") or ():
            wanted += [(key, part[key]["name"]) for key in ("configMap", "secret") if key in part]
        asked = _token_sources(source)
        answers = await asyncio.gather(
            *(self._store.get(key, namespace, name, since) for key, name in wanted),
            *(self._tokens.token(pod, each) for each in asked),
            return_exceptions=True,
        )
        found: dict[Any, Any] = dict(zip([*wanted, *(each["path"] for each in asked)], answers, strict=True))

        def lookup(key: str, name: str) -> Mapping[str, Any] | None:
            held: Mapping[str, Any] | None = _answer(found[(key, name)])
            return held

        def token(path: str) -> str:
            return str(_answer(found[path]))

        if kind == "projected":
            return payload.projected_files(pod, source, lookup=lookup, token=token, ips=ips, node=node)
        return payload.object_files(source, kind, wanted[0][1], mode, lookup)


def _answer(answer: Any) -> Any:
    """What was answered. Raises PayloadProblem for what cannot be had now."""
    if isinstance(answer, (ApiAway, ApiError, ApiUnreachable, TokenProblem)):
        raise PayloadProblem(str(answer)) from answer
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _used(pod: Pod) -> list[Mapping[str, Any]]:
    names = set[str]().union(*pods.used_volumes(pod))
    return [volume for volume in pod["spec"].get("volumes") or () if volume["name"] in names]


def _token_sources(projected: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = projected.get("sources") or ()
    return [part["serviceAccountToken"] for part in parts if "serviceAccountToken" in part]


def _fs_group(pod: Pod) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _remove_tree(folder: Path) -> None:
    """Delete a pod's folder after unmounting all below it: nothing of another file system is ever deleted."""
    for point in mounts.mounts_below(folder):
        mounts.unmount(point)
    if mounts.mounts_below(folder):
        raise OSError(f"{folder} still has mounts")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
