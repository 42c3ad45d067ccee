"""Collecting what is left behind: containers, sandboxes, log directories, and images when the disk fills.

Upstream's pkg/kubelet/kuberuntime/kuberuntime_gc.go and pkg/kubelet/images/image_gc_manager.go.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from apimachinery.kit.clock import Clock
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.cri.images import ImageService
from nodeagent.kubelet.node.machine import Filesystem
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.state import PodState, State

log = logging.getLogger(__name__)

# Dead containers kept per container of a pod, for `kubectl logs --previous` (MaxPerPodContainer).
_KEEP_DEAD = 1
# An image that was just pulled is not yet in use: its pod may be about to be started.
_IMAGE_AGE = 120.0


def plan_containers(state: PodState, keep: int = _KEEP_DEAD) -> list[str]:
    """The dead containers of a live pod to remove: of each name all but the newest `keep` besides the current one."""
    doomed: list[str] = []
    by_name: dict[str, int] = {}
    for container in state.containers:
        seen = by_name.get(container.name, 0)
        by_name[container.name] = seen + 1
        if seen > keep and container.state in (State.EXITED, State.CREATED):
            doomed.append(container.id)
    return doomed


def plan_sandboxes(state: PodState) -> list[str]:
    """The sandboxes of a live pod to remove: not the newest, not ready, and without containers."""
    used = {container.sandbox_id for container in state.containers}
    return [box.id for box in state.sandboxes[1:] if not box.ready and box.id not in used]


@dataclass(frozen=True, slots=True)
class ImageUse:
    """An image, its bytes, and when it was last seen in use (monotonic seconds)."""

    id: str
    size: int
    last_used: float
    first_seen: float


def plan_images(images: Iterable[ImageUse], needed: int, now: float, min_age: float = _IMAGE_AGE) -> list[str]:
    """The images to remove to free `needed` bytes: least recently used first, the young spared."""
    doomed, freed = [], 0
    for image in sorted(images, key=lambda use: (use.last_used, use.first_seen)):
        if freed >= needed:
            break
        if now - image.first_seen < min_age:
            continue
        doomed.append(image.id)
        freed += image.size
    return doomed


class Collector:
    """Removes what nothing needs. settled: whether a pod's uid has nothing more to run. disk: of the images."""

    def __init__(
        self,
        runtime: RuntimeService,
        images: ImageService,
        paths: Paths,
        recorder: Recorder,
        clock: Clock,
        disk: Callable[[], Filesystem],
        thresholds: tuple[int, int],
    ) -> None:
        self._runtime, self._images, self._paths = runtime, images, paths
        self._recorder, self._clock, self._disk = recorder, clock, disk
        self._high, self._low = thresholds
        self._first_seen: dict[str, float] = {}
        self._last_used: dict[str, float] = {}

    async def pod(self, state: PodState) -> None:
        """Thin out the dead containers and sandboxes of a live pod. Raises RuntimeCallError."""
        for container_id in plan_containers(state):
            await self._runtime.remove_container(container_id)
        for sandbox_id in plan_sandboxes(state):
            await self._runtime.remove_pod_sandbox(sandbox_id)

    def logs(self, alive: set[str]) -> None:
        """Delete the log directories of pods that are gone, and symlinks that lead nowhere. alive: uids."""
        if self._paths.pod_logs.is_dir():
            for folder in self._paths.pod_logs.iterdir():
                parts = folder.name.split("_")
                if len(parts) == 3 and parts[2] not in alive:
                    shutil.rmtree(folder, ignore_errors=True)
        if self._paths.container_logs.is_dir():
            for link in self._paths.container_logs.iterdir():
                if link.is_symlink() and not link.exists() and str(self._paths.pod_logs) in str(link.readlink()):
                    with contextlib.suppress(OSError):
                        link.unlink()

    async def images(self, used: set[str]) -> None:
        """Remove unused images when the disk is fuller than the high mark, down to the low one. used: image ids."""
        now = self._clock.monotonic()
        found = await self._images.list_images()
        self._note(found, used, now)
        disk = self._disk()
        if disk.size == 0:
            return
        usage = 100 - disk.available * 100 // disk.size
        if usage < self._high:
            return
        needed = disk.size * (100 - self._low) // 100 - disk.available
        log.info("Disk usage on image filesystem is over the high threshold: %d%%, freeing %d bytes", usage, needed)
        unused = [
            ImageUse(image.id, image.size, self._last_used[image.id], self._first_seen[image.id])
            for image in found
            if image.id not in used and not image.pinned
        ]
        freed = 0
        for image_id in plan_images(unused, needed, now):
            with contextlib.suppress(RuntimeCallError):
                await self._images.remove(image_id)
                freed += next(image.size for image in found if image.id == image_id)
        if freed < needed:
            self._recorder.node(
                "Warning",
                "FreeDiskSpaceFailed",
                f"Failed to garbage collect required amount of images. Attempted to free {needed} bytes, "
                f"but only found {freed} bytes eligible to free.",
            )

    def _note(self, found: Iterable[cri.Image], used: set[str], now: float) -> None:
        known = {image.id for image in found}
        for image_id in known:
            self._first_seen.setdefault(image_id, now)
            self._last_used.setdefault(image_id, 0.0)
        for image_id in used & known:
            self._last_used[image_id] = now
        for image_id in self._first_seen.keys() - known:
            del self._first_seen[image_id]
            self._last_used.pop(image_id, None)


async def used_images(runtime: RuntimeService) -> set[str]:
    """The ids of the images that containers were made of. Raises RuntimeCallError."""
    return {container.image_ref for container in await runtime.list_containers()}
