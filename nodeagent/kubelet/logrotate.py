"""Rotating container logs: N.log → N.log.TIMESTAMP, gzip for all but the newest of the old (pkg/kubelet/logs)."""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
from pathlib import Path

from apimachinery.kit.clock import Clock
from nodeagent.cri import messages as cri
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.runtime import labels

log = logging.getLogger(__name__)


def old_logs(path: Path) -> list[Path]:
    """The rotated files of a log, oldest first; one that was compressed counts once."""
    found = {file.name: file for file in path.parent.glob(f"{path.name}.*") if file.suffix != ".tmp"}
    return [found[name] for name in sorted(found) if f"{name}.gz" not in found]


class LogRotator:
    """Rotates the logs of running containers that have grown to `max_size` bytes; keeps `max_files` in all.

    every: seconds between two looks. A negative size rotates nothing.
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
            try:
                await self.rotate_all()
            except RuntimeCallError as error:
                log.error("Failed to rotate container logs: %s", error)

    async def rotate_all(self) -> None:
        """Look at the log of every running container once; what fails is tried again with the next look.

        One that does not run writes no more: its last log stays as it is. Raises RuntimeCallError.
        """
        if self._max_size < 0:
            return
        for container in await self._runtime.list_containers():
            path = self._log_of(container)
            if path is None or container.state != cri.CONTAINER_RUNNING:
                continue
            try:
                if await self._size(container.id, path) >= self._max_size:
                    await self._rotate(container.id, path)
            except (RuntimeCallError, OSError) as error:
                log.warning("Failed to rotate log %s: %s", path, error)

    def _log_of(self, container: cri.Container) -> Path | None:
        """The log of a container of ours."""
        told = container.labels
        if labels.POD_UID not in told:
            return None
        names = {"namespace": told.get(labels.POD_NAMESPACE, ""), "name": told.get(labels.POD_NAME, "")}
        pod = {"metadata": {**names, "uid": told[labels.POD_UID]}}
        return self._paths.container_log(pod, container.metadata.name, container.metadata.attempt)

    async def _size(self, container_id: str, path: Path) -> int:
        """Bytes of the log; one that somebody deleted is made anew."""
        if not path.exists():
            await self._runtime.reopen_log(container_id)
        return path.stat().st_size

    async def _rotate(self, container_id: str, path: Path) -> None:
        rotated = path.with_name(f"{path.name}.{self._clock.now():%Y%m%d-%H%M%S}")
        await asyncio.to_thread(self._make_room, path)
        path.rename(rotated)
        try:
            await self._runtime.reopen_log(container_id)
        except RuntimeCallError:
            # Nothing writes to the new name: put the file back, so that no line is lost.
            rotated.rename(path)
            raise

    def _make_room(self, path: Path) -> None:
        """Remove what is too much and what an earlier attempt left, and compress the rest."""
        # The current file and the one about to be made count as well.
        old = old_logs(path)
        kept = old[max(0, len(old) - (self._max_files - 2)) :]
        for file in path.parent.glob(f"{path.name}.*"):
            if file not in kept:
                file.unlink()
        for file in kept:
            if file.suffix != ".gz":
                _compress(file)


def _compress(file: Path) -> None:
    temporary = file.with_name(f"{file.name}.tmp")
    with file.open("rb") as source, gzip.open(temporary, "wb") as target:
        shutil.copyfileobj(source, target)
    temporary.chmod(file.stat().st_mode & 0o777)
    temporary.rename(file.with_name(f"{file.name}.gz"))
    file.unlink()
