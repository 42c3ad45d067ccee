"""Throwing images away: the old, and the least recently used when the disk fills (images/image_gc_manager.go)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import quoted
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.cri.images import ImageService
from nodeagent.kubelet.node.machine import Filesystem
from nodeagent.kubelet.recorder import Recorder

log = logging.getLogger(__name__)

_NEVER = float("-inf")
_HANDED_OUT = 120.0


class ImageGcFailed(Exception):
    """Not enough could be freed. The text is the event's message."""


@dataclass(frozen=True, slots=True)
class Policy:
    """high, low: percent of the disk; high 100 looks at no disk. min_age, max_age: seconds; max_age 0 keeps unused
    images for ever."""

    high: int = 85
    low: int = 80
    min_age: float = 120.0
    max_age: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageUse:
    """An image, its bytes, when it was last seen in use and when it was first seen at all (monotonic seconds)."""

    id: str
    size: int
    last_used: float
    first_seen: float


def plan_images(images: Iterable[ImageUse], needed: int, now: float, min_age: float) -> list[ImageUse]:
    """The images to remove to free `needed` bytes: least recently used first, the young spared."""
    doomed: list[ImageUse] = []
    freed = 0
    for image in sorted(images, key=lambda use: (use.last_used, use.first_seen)):
        if freed >= needed:
            break
        # An image that was just pulled is not yet in use: its pod may be about to be started.
        if now - image.first_seen < min_age:
            continue
        doomed.append(image)
        freed += image.size
    return doomed


def plan_old(images: Iterable[ImageUse], now: float, policy: Policy, watched_for: float) -> list[ImageUse]:
    """The images that nobody used for the maximum age. watched_for: seconds since the agent began to watch them."""
    if not policy.max_age or watched_for <= policy.max_age:
        return []
    return [i for i in images if now - i.last_used > policy.max_age and now - i.first_seen > policy.min_age]


class ImageCollector:
    """Removes images. disk: of the file system they are on. handed_out: image → when a container was given it."""

    def __init__(
        self,
        runtime: RuntimeService,
        images: ImageService,
        disk: Callable[[], Awaitable[Filesystem]],
        handed_out: dict[str, float],
        policy: Policy,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._runtime, self._images, self._disk, self._policy = runtime, images, disk, policy
        self._handed_out, self._recorder, self._clock = handed_out, recorder, clock
        self._began = clock.monotonic()
        self._first_seen: dict[str, float] = {}
        self._last_used: dict[str, float] = {}
        self._failed_before = self._detected = False

    async def run_once(self) -> None:
        """Collect; a failure is logged, and told by an event when it is not the first in a row."""
        try:
            await self.collect()
        except (ImageGcFailed, RuntimeCallError) as error:
            if self._failed_before:
                log.error('"Image garbage collection failed multiple times in a row" err=%s', quoted(str(error)))
                self._recorder.node("Warning", "ImageGCFailed", str(error))
            else:
                once = '"Image garbage collection failed once. Stats initialization may not have completed yet"'
                log.error("%s err=%s", once, quoted(str(error)))
            self._failed_before = True
        else:
            self._failed_before = False

    async def collect(self) -> None:
        """Remove the old, and what is unused when the disk is above the high mark. Raises ImageGcFailed."""
        unused = await self.unused()
        now = self._clock.monotonic()
        old = plan_old(unused, now, self._policy, now - self._began)
        await self._remove(old)
        if self._policy.high == 100 and not self._policy.max_age:
            return
        disk = await self._disk()
        if disk.size == 0:
            text = "invalid capacity 0 on image filesystem"
            self._recorder.node("Warning", "InvalidDiskCapacity", text)
            raise ImageGcFailed(text)
        usage = 100 - min(disk.available, disk.size) * 100 // disk.size
        if usage < self._policy.high:
            return
        needed = disk.size * (100 - self._policy.low) // 100 - disk.available
        log.info(
            '"Disk usage on image filesystem is over the high threshold, trying to free bytes down to the low '
            'threshold" usage=%d highThreshold=%d amountToFree=%d lowThreshold=%d',
            usage, self._policy.high, needed, self._policy.low,
        )  # fmt: skip
        freed = await self._remove(plan_images([i for i in unused if i not in old], needed, now, self._policy.min_age))
        if freed < needed:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {needed} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            self._recorder.node("Warning", "FreeDiskSpaceFailed", text)
            raise ImageGcFailed(text)

    async def delete_unused(self) -> None:
        """Remove every image that nothing uses, but for the youngest: eviction asks for it. Raises RuntimeCallError."""
        log.info('"Attempting to delete unused images"')
        unused = await self.unused()
        everything = sum(image.size for image in unused) + 1
        await self._remove(plan_images(unused, everything, self._clock.monotonic(), self._policy.min_age))

    async def unused(self) -> list[ImageUse]:
        """The images of no container and not pinned, with what is known of their past. Raises RuntimeCallError."""
        now = self._clock.monotonic()
        found = {image.id: image for image in await self._images.list_images()}
        used = {container.image_ref for container in await self._runtime.list_containers()}
        # Between an image and the container made of it there is a moment in which nothing but we knows of its use.
        for image in [image for image, at in self._handed_out.items() if now - at > _HANDED_OUT]:
            del self._handed_out[image]
        used |= self._handed_out.keys()
        used |= await self._of_sandboxes()
        # What was there when the agent began is of unknown age: it counts as old.
        first = now if self._detected else _NEVER
        self._detected = True
        self._first_seen = {image: self._first_seen.get(image, first) for image in found}
        self._last_used = {image: now if image in used else self._last_used.get(image, _NEVER) for image in found}
        return [
            ImageUse(image.id, image.size, self._last_used[image.id], self._first_seen[image.id])
            for image in found.values()
            if image.id not in used and not image.pinned
        ]

    async def _of_sandboxes(self) -> set[str]:
        """The image without which no pod starts. Newer runtimes pin it; that of containerd 1.6 only looks unused."""
        name = await self._runtime.sandbox_image()
        image = await self._images.status(name) if name else None
        return {image.id} if image is not None else set()

    async def _remove(self, doomed: Iterable[ImageUse]) -> int:
        """Remove these; returns the bytes of those that went. What cannot be removed is left."""
        freed = 0
        for image in doomed:
            named = quoted(image.id)
            log.info('"Removing image to free bytes" imageID=%s size=%d runtimeHandler=""', named, image.size)
            try:
                await self._images.remove(image.id)
            except RuntimeCallError as error:
                log.warning("Failed to remove image %s: %s", image.id, error)
                continue
            freed += image.size
            self._first_seen.pop(image.id, None)
            self._last_used.pop(image.id, None)
        return freed
