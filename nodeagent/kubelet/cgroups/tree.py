"""The cgroup hierarchies of the machine as files: make, set, list, end. Knows no pods.

On v1 every path exists once per controller; on v2 there is one tree, and a parent must hand its controllers on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from .settings import Setting

log = logging.getLogger(__name__)

MOUNT = Path("/sys/fs/cgroup")

# "unified" is the v2 hierarchy of a hybrid machine: runc makes the container's cgroup there as well.
_V1_CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd", "unified",
)  # fmt: skip
_V2_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


class Tree:
    """The hierarchies. mount: where they are mounted."""

    def __init__(self, mount: Path = MOUNT) -> None:
        self._mount = mount
        self.v2 = (mount / "cgroup.controllers").exists()
        self._hierarchies = (
            {"": mount} if self.v2 else {name: mount / name for name in _V1_CONTROLLERS if (mount / name).is_dir()}
        )

    def has(self, controller: str) -> bool:
        """Whether the machine has the controller."""
        if self.v2:
            return controller in (self._mount / "cgroup.controllers").read_text().split()
        return controller in self._hierarchies

    def folder(self, controller: str, path: str) -> Path:
        """A cgroup's folder. controller: of v1; ignored on v2."""
        place = self._mount if self.v2 else self._mount / controller
        return place / path.lstrip("/")

    def exists(self, path: str) -> bool:
        """Whether the cgroup is there, in every hierarchy."""
        return all((place / path.lstrip("/")).is_dir() for place in self._hierarchies.values())

    def remains(self, path: str) -> bool:
        """Whether there is anything of the cgroup, in any hierarchy."""
        return any((place / path.lstrip("/")).is_dir() for place in self._hierarchies.values())

    def ensure(self, path: str) -> None:
        """Make the cgroup and those above it. Raises OSError when cgroups are not writable."""
        for controller, hierarchy in self._hierarchies.items():
            if not self.v2 and controller != "cpuset":
                # Nothing is to be done for those above it, which mostly are there.
                with contextlib.suppress(FileNotFoundError):
                    _make(hierarchy / path.lstrip("/"))
                    continue
            place = hierarchy
            for part in path.strip("/").split("/"):
                if self.v2:
                    _delegate(place)
                child = place / part
                if _make(child) and controller == "cpuset":
                    for file in ("cpuset.cpus", "cpuset.mems"):
                        (child / file).write_text((place / file).read_text())
                place = child
            if self.v2:
                _delegate(place)

    def apply(self, path: str, settings: Iterable[Setting]) -> None:
        """Write what differs. A controller that the machine does not have is passed over.

        Raises OSError with the file's name for the first value that the kernel refuses, after trying them all.
        """
        refused: OSError | None = None
        for setting in settings:
            file = self.folder(setting.controller, path) / setting.file
            try:
                if file.read_text().strip() != setting.value:
                    file.write_text(setting.value)
            except FileNotFoundError:
                continue
            except OSError as error:
                refused = refused or OSError(error.errno, f"{error.strerror}: writing {setting.value}", str(file))
        if refused is not None:
            raise refused

    def children(self, path: str) -> set[str]:
        """The folders in a cgroup, of any hierarchy."""
        found: set[str] = set()
        for hierarchy in self._hierarchies.values():
            with contextlib.suppress(FileNotFoundError), os.scandir(hierarchy / path.lstrip("/")) as entries:
                found |= {entry.name for entry in entries if entry.is_dir()}
        return found

    def processes(self, path: str) -> list[int]:
        """The processes of the cgroup itself, not of those in it; empty when it is gone."""
        with contextlib.suppress(OSError):
            place = self.folder("memory" if "memory" in self._hierarchies else "pids", path)
            return [int(line) for line in (place / "cgroup.procs").read_text().split()]
        return []

    def tasks(self, path: str) -> int:
        """How many tasks there are in the cgroup and those in it (`pids.current`); 0 when it is gone."""
        try:
            return int((self.folder("pids", path) / "pids.current").read_text())
        except (OSError, ValueError):
            return 0

    def remove(self, path: str) -> bool:
        """Kill what is left in the cgroup and remove it. False when something still lives in it: ask again."""
        gone = True
        for hierarchy in self._hierarchies.values():
            gone = _remove(hierarchy / path.lstrip("/")) and gone
        return gone


def _make(folder: Path) -> bool:
    """Make one folder; False when it was there. Raises FileNotFoundError when the one above it is not."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _delegate(place: Path) -> None:
    """Hand the controllers on to the children of a v2 cgroup."""
    available = (place / "cgroup.controllers").read_text().split()
    enabled = (place / "cgroup.subtree_control").read_text().split()
    for name in _V2_WANTED:
        if name in available and name not in enabled:
            with contextlib.suppress(OSError):
                (place / "cgroup.subtree_control").write_text(f"+{name}")


def _remove(place: Path) -> bool:
    if not place.is_dir():
        return True
    # The deepest first. Errors are left aside: the runtime removes its containers' cgroups at the same time.
    for name, _, _ in os.walk(place, topdown=False):
        folder = Path(name)
        with contextlib.suppress(OSError, ValueError):
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not place.exists()
