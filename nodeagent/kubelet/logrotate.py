"""Rotating container logs: N.log → N.log.TIMESTAMP, gzip for all but the newest of the old (pkg/kubelet/logs)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import shutil
from datetime import datetime
from pathlib import Path

from apimachinery.kit.clock import Clock
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.paths import Paths

log = logging.getLogger(__name__)


def old_logs(path: Path) -> list[Path]:
    """The rotated files of a log, oldest first."""
    return sorted(found for found in path.parent.glob(f"{path.name}.*") if not found.name.endswith(".tmp"))


class LogRotator:
    """Rotates the logs of running containers that have grown beyond `max_size` bytes; keeps `max_files` in all.

    every: seconds between two looks.
    """

    def __init__(
        self,
        runtime: RuntimeService,
        paths: Paths,
        clock: Clock,
        max_size: int,
        max_files: int,
        every: float = 10.0,
    ) -> None:
        self._runtime, self._paths, self._clock = runtime, paths, clock
        self._max_size, self._max_files, self._every = max_size, max_files, every

    async def run(self) -> None:
        while True:
            await self._clock.sleep(self._every)
            await self.rotate_all()

    async def rotate_all(self) -> None:
        """Look at every log once; one that cannot be rotated is tried again with the next look.

        The directory is asked first: the runtime only about those that are too large.
        """
        if not self._paths.pod_logs.is_dir():
            return
        for path in self._paths.pod_logs.glob("*/*/*.log"):
            try:
                large = path.stat().st_size > self._max_size
            except OSError:
                continue
            if large:
                try:
                    await self._rotate(path)
                except (RuntimeCallError, OSError) as error:
                    log.warning("Failed to rotate log %s: %s", path, error)

    async def _rotate(self, path: Path) -> None:
        container = await self._container_of(path)
        if container is None:
            return
        await asyncio.to_thread(self._shift, path, self._clock.now())
        try:
            await self._runtime.reopen_log(container)
        except RuntimeCallError:
            # Nothing writes to the new name: put the file back, so that no line is lost.
            newest = old_logs(path)[-1]
            newest.rename(path)
            raise

    async def _container_of(self, path: Path) -> str | None:
        for container in await self._runtime.list_containers():
            expected = f"{container.metadata.name}/{container.metadata.attempt}.log"
            if str(path).endswith(f"_{container.labels.get('io.kubernetes.pod.uid')}/{expected}"):
                return container.id
        return None

    def _shift(self, path: Path, now: datetime) -> None:
        for old in old_logs(path):
            if old.suffix != ".gz":
                temporary = old.with_name(f"{old.name}.tmp")
                with old.open("rb") as source, gzip.open(temporary, "wb") as target:
                    shutil.copyfileobj(source, target)
                temporary.rename(old.with_name(f"{old.name}.gz"))
                old.unlink()
        # The current file and the one about to be made count as well.
        for old in old_logs(path)[: max(0, len(old_logs(path)) - (self._max_files - 2))]:
            with contextlib.suppress(OSError):
                old.unlink()
        path.rename(path.with_name(f"{path.name}.{now:%Y%m%d-%H%M%S}"))
