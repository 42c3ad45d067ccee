"""What is written where: a container's writable layer, logs, volumes. Counting files is dear, so an answer is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit.clock import Clock
from nodeagent.kubelet.eviction.usage import Disk

# cadvisor counts a container's files once a minute, and volumeStatsAggPeriod is a minute too.
_KEPT = 60.0
_OCTAL = re.compile(r"\\(\d{3})")


class DiskCache:
    """Counts directories, one at a time and in a thread, each at most once a minute.

    count: bytes and inodes of a directory; blocks.
    """

    def __init__(self, count: Callable[[Path], Disk], clock: Clock, kept: float = _KEPT) -> None:
        self._count, self._clock, self._kept = count, clock, kept
        self._known: dict[Path, tuple[float, Disk]] = {}
        self._one = asyncio.Lock()

    async def usage(self, place: Path) -> Disk:
        """What the directory held at most a minute ago."""
        async with self._one:
            now = self._clock.monotonic()
            known = self._known.get(place)
            if known is None or now - known[0] >= self._kept:
                known = (now, await asyncio.to_thread(self._count, place))
                self._known[place] = known
            return known[1]

    def forget(self) -> None:
        """Drop what nobody has asked for in two periods."""
        oldest = self._clock.monotonic() - 2 * self._kept
        self._known = {place: known for place, known in self._known.items() if known[0] >= oldest}


def writable_layer(mountinfo: str) -> Path | None:
    """The upper directory of a process' root, when that is an overlay: /proc/PID/mountinfo (proc(5))."""
    for line in mountinfo.splitlines():
        words = line.split()
        if len(words) > 6 and words[4] == "/":
            kind, _, options = words[words.index("-") + 1 :]
            upper = [option for option in options.split(",") if option.startswith("upperdir=")]
            if kind == "overlay" and upper:
                return Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), upper[0].removeprefix("upperdir=")))
            return None
    return None
