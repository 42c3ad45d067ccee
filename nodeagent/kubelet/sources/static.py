"""Static pods: manifests in a directory, run with or without an API server (pkg/kubelet/config/file_linux.go).

A bad file is reported and leaves the others alone. A pod whose file has become bad runs until the directory is next
read as a whole, and comes back with its file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.go_print import quoted
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.sources.manifests import Finish, parse_manifest

log = logging.getLogger(__name__)

_POLL = 1.0


@dataclass(frozen=True, slots=True)
class _File:
    """name: of the pod that the file last held, if it ever held one. problem: why it holds none now."""

    stamp: tuple[int, int, int]
    pod: Pod | None
    name: str = ""
    problem: str = ""


class StaticSource:
    """Watches a directory. changed: called with all its pods whenever they are not what they were.

    As upstream, a file counts as soon as it changes, and every `period` seconds the directory is read as a whole: of
    two files with one pod the latest change wins at first, then the last name. What is bad is told each time.
    """

    def __init__(
        self,
        directory: Path,
        node: str,
        finish: Finish,
        changed: Callable[[list[Pod]], None],
        clock: Clock,
        period: float,
    ) -> None:
        self._directory, self._node, self._finish = directory, node, finish
        self._changed, self._clock, self._period = changed, clock, period
        self._files: Mapping[Path, _File] = {}
        self._pods: dict[str, Pod] = {}
        self._told: list[Pod] | None = None
        self._whole_at = clock.monotonic()
        self._absent = False

    async def run(self) -> None:
        """Read the directory now and then every second, until cancelled."""
        while True:
            self.scan()
            await self._clock.sleep(_POLL)

    def scan(self) -> None:
        """Read what is new or changed in the directory, and tell if the pods are not what they were."""
        whole = self._clock.monotonic() >= self._whole_at
        if whole:
            self._whole_at = self._clock.monotonic() + self._period
        try:
            found = self._read_all(whole)
        except OSError as error:
            log.error('"Unable to read config path" err=%s path=%s', quoted(str(error)), self._shown(self._directory))
            return
        before, self._files = self._files, found
        if whole:
            self._take_whole()
        else:
            self._take_changes(before)
        telling = list(self._pods.values())
        if telling != self._told:
            self._told = telling
            self._changed(telling)

    def _take_whole(self) -> None:
        for path, file in self._files.items():
            if file.problem:
                log.error('"Could not process manifest file" err=%s path=%s', quoted(file.problem), self._shown(path))
        self._pods = {file.name: file.pod for file in self._files.values() if file.pod is not None}

    def _take_changes(self, before: Mapping[Path, _File]) -> None:
        for path in before.keys() - self._files.keys():
            self._pods.pop(before[path].name, None)
        for path, file in self._files.items():
            if file is before.get(path):
                continue
            if file.pod is not None:
                self._pods[file.name] = file.pod
            elif file.problem:
                told = f"can't process config file {self._shown(path)}: {file.problem}"
                log.error('"Unable to process watch event" err=%s', quoted(told))

    def _read_all(self, whole: bool) -> Mapping[Path, _File]:
        """Raises OSError."""
        found: dict[Path, _File] = {}
        try:
            entries = sorted(self._directory.iterdir())
        except FileNotFoundError:
            if not self._absent:
                told = quoted("path does not exist, ignoring")
                log.error('"Unable to read config path" err=%s path=%s', told, self._shown(self._directory))
            self._absent, entries = True, []
        else:
            self._absent = False
        for path in entries:
            if path.name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue
            if path.is_dir() and whole:
                told = "Provided manifest path is a directory, not recursing into manifest path"
                log.error("%s path=%s", quoted(told), self._shown(path))
            if not path.is_file():
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._files.get(path)
            found[path] = known if known and known.stamp == stamp else self._read(path, stamp, known)
        return found

    def _read(self, path: Path, stamp: tuple[int, int, int], known: _File | None) -> _File:
        name = known.name if known else ""
        try:
            pod = parse_manifest(path.read_bytes(), str(path), self._node, self._finish)
        except FileNotFoundError:
            return _File(stamp, None, name)
        except Exception as error:  # whatever a file holds, the pods of the others run
            return _File(stamp, None, name, str(error))
        before = known.pod if known else None
        same = before is not None and pods.uid(before) == pods.uid(pod)
        seen = pods.notes(before)[pods.CONFIG_SEEN] if before and same else times.rfc3339_micro(self._clock.now())
        pod["metadata"]["annotations"][pods.CONFIG_SEEN] = seen
        return _File(stamp, pod, pods.full_name(pod))

    @staticmethod
    def _shown(path: Path) -> str:
        return quoted(str(path))
