"""Static pods: manifests in a directory, run with or without an API server (pkg/kubelet/config/file_linux.go).

What changes is read at once. Every fileCheckFrequency all files count as they are then: a bad one, reported each time,
is no pod any more, so that a pod whose file has become bad ends by then. It leaves the others alone. Of several files
with a pod of one name the last counts, such as a copy `kube-apiserver.yaml.bak`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.go_print import quoted
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .manifests import BadManifest, Finish, parse_manifest

log = logging.getLogger(__name__)

_POLL = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    stamp: tuple[int, int, int]
    pod: Pod | None
    bad: bool = False


class StaticSource:
    """Watches a directory. changed: called with all its pods whenever they are not what they were. period: seconds
    between looks at all files."""

    def __init__(
        self,
        directory: Path,
        node: str,
        finish: Finish,
        changed: Callable[[list[Pod]], None],
        clock: Clock,
        period: float = 20.0,
    ) -> None:
        self._directory, self._node, self._finish = directory, node, finish
        self._changed, self._clock, self._period = changed, clock, period
        self._known: dict[Path, _Known] = {}
        self._told: list[Pod] | None = None
        self._listed: float | None = None

    async def run(self) -> None:
        """Read the directory now and then every second, until cancelled."""
        while True:
            self.scan()
            await self._clock.sleep(_POLL)

    def scan(self) -> None:
        """Read what is new or changed in the directory, and tell if the pods are not what they were."""
        now = self._clock.monotonic()
        listing = self._listed is None or now - self._listed >= self._period
        if listing:
            self._listed = now
        try:
            entries = self._entries(listing)
        except OSError as error:
            log.error('"Unable to read config path" err=%s path=%s', quoted(str(error)), quoted(str(self._directory)))
            return
        found: dict[Path, _Known] = {}
        for path in entries:
            try:
                status = path.stat()
            except OSError:
                continue
            if not path.is_file():
                if listing and path.is_dir():
                    told = "Provided manifest path is a directory, not recursing into manifest path"
                    log.error('"%s" path=%s', told, quoted(str(path)))
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._known.get(path)
            same = known is not None and known.stamp == stamp and not (listing and known.bad)
            found[path] = known if known is not None and same else self._read(path, stamp, known, listing)
        self._known = found
        by_name = {pods.full_name(known.pod): known.pod for known in found.values() if known.pod is not None}
        telling = list(by_name.values())
        if telling != self._told:
            self._told = telling
            self._changed(telling)

    def _entries(self, listing: bool) -> list[Path]:
        """What is in the directory, by name; none of it is hidden. Raises OSError."""
        try:
            return sorted(path for path in self._directory.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            if listing:
                why, where = quoted("path does not exist, ignoring"), quoted(str(self._directory))
                log.error('"Unable to read config path" err=%s path=%s', why, where)
            return []

    def _read(self, path: Path, stamp: tuple[int, int, int], known: _Known | None, listing: bool) -> _Known:
        before = known.pod if known else None
        try:
            pod = parse_manifest(path.read_text(), str(path), self._node, self._finish)
        except (BadManifest, OSError, ValueError) as error:
            if listing:
                log.error('"Could not process manifest file" err=%s path=%s', quoted(str(error)), quoted(str(path)))
                return _Known(stamp, None, bad=True)
            why = f"can't process config file {quoted(str(path))}: {error}"
            log.error('"Unable to process watch event" err=%s', quoted(why))
            return _Known(stamp, before, bad=True)
        same = before is not None and pods.uid(before) == pods.uid(pod)
        seen = pods.notes(before)[pods.CONFIG_SEEN] if before and same else times.rfc3339_micro(self._clock.now())
        pod["metadata"]["annotations"][pods.CONFIG_SEEN] = seen
        return _Known(stamp, pod)
