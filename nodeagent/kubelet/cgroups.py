"""The cgroup tree: kubepods/{burstable,besteffort}/pod<uid>, by the cgroupfs driver, on cgroup v1 and v2.

We own the folders below `<cgroup-root>/kubepods` and nothing else. Everything is idempotent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.kubelet import pods, qos
from nodeagent.kubelet.qos import Limits

log = logging.getLogger(__name__)

# "unified" is the v2 hierarchy of a hybrid machine: runc makes the container's cgroup there as well.
_V1_CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd", "unified",
)  # fmt: skip
_V2_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


@dataclass(frozen=True, slots=True)
class Setting:
    """One write to a cgroup file. controller: the v1 hierarchy, "" on v2."""

    controller: str
    file: str
    value: str


def pod_cgroup(root: str, pod: Mapping[str, Any]) -> str:
    """The pod's cgroup below the hierarchy, which is also the sandbox's cgroup parent. root: `--cgroup-root`."""
    quality = pods.qos_class(pod)
    base = f"{root.rstrip('/')}/kubepods"
    folder = "" if quality == "Guaranteed" else f"/{quality.lower()}"
    return f"{base}{folder}/pod{pods.uid(pod)}"


def plan_settings(limits: Limits, *, v2: bool, pids: int = -1) -> list[Setting]:
    """The files to write for these limits. pids: most processes, -1 for no limit."""
    most = str(pids) if pids > 0 else "max"
    if v2:
        quota = str(limits.cpu_quota) if limits.cpu_quota else "max"
        return [
            Setting("", "cpu.weight", str(qos.cpu_weight(limits.cpu_shares))),
            Setting("", "cpu.max", f"{quota} {limits.cpu_period}"),
            Setting("", "memory.max", str(limits.memory) if limits.memory else "max"),
            Setting("", "pids.max", most),
        ]
    return [
        Setting("cpu", "cpu.shares", str(limits.cpu_shares)),
        Setting("cpu", "cpu.cfs_period_us", str(limits.cpu_period)),
        Setting("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota or -1)),
        Setting("memory", "memory.limit_in_bytes", str(limits.memory or -1)),
        Setting("pids", "pids.max", most),
    ]


class Cgroups:
    """The machine's cgroup tree as far as it is ours. root: `--cgroup-root`; mount: where cgroups are mounted."""

    def __init__(self, root: str = "/", mount: Path = Path("/sys/fs/cgroup"), pod_pids: int = -1) -> None:
        self.root, self._mount, self._pids = root, mount, pod_pids
        self.v2 = (mount / "cgroup.controllers").exists()
        self._hierarchies = (
            {"": mount} if self.v2 else {name: mount / name for name in _V1_CONTROLLERS if (mount / name).is_dir()}
        )

    def ensure_roots(self) -> None:
        """Make kubepods, burstable and besteffort. Raises OSError when cgroups are not writable."""
        base = f"{self.root.rstrip('/')}/kubepods"
        for path in (base, f"{base}/burstable", f"{base}/besteffort"):
            self._ensure(path)
        self._write(f"{base}/besteffort", plan_settings(Limits(2), v2=self.v2)[:1])

    def ensure_pod(self, pod: Mapping[str, Any]) -> str:
        """Make the pod's cgroup with its limits; returns its path. Raises OSError."""
        path = pod_cgroup(self.root, pod)
        if not self._exists(path):
            self._ensure(path)
            self._write(path, plan_settings(qos.pod_limits(pod), v2=self.v2, pids=self._pids))
        return path

    def pod_uids(self) -> set[str]:
        """The pods that have a cgroup."""
        found = set()
        base = f"{self.root.rstrip('/')}/kubepods"
        for hierarchy in self._hierarchies.values():
            for folder in ("", "/burstable", "/besteffort"):
                place = hierarchy / f"{base}{folder}".lstrip("/")
                if place.is_dir():
                    names = (entry.name for entry in place.iterdir() if entry.is_dir())
                    found |= {name.removeprefix("pod") for name in names if name.startswith("pod")}
        return found

    def remove_pod(self, uid: str) -> bool:
        """Kill what is left in the pod's cgroup and remove it. False when something still lives in it: ask again."""
        base = f"{self.root.rstrip('/')}/kubepods"
        gone = True
        for hierarchy in self._hierarchies.values():
            for folder in ("", "/burstable", "/besteffort"):
                gone = _remove(hierarchy / f"{base}{folder}/pod{uid}".lstrip("/")) and gone
        return gone

    def file(self, controller: str, path: str, name: str) -> Path:
        """A cgroup file. controller: of v1; ignored on v2."""
        place = self._mount if self.v2 else self._mount / controller
        return place / path.lstrip("/") / name

    def _exists(self, path: str) -> bool:
        return all((place / path.lstrip("/")).is_dir() for place in self._hierarchies.values())

    def _ensure(self, path: str) -> None:
        for controller, hierarchy in self._hierarchies.items():
            place = hierarchy
            for part in path.strip("/").split("/"):
                if self.v2:
                    _delegate(place)
                child = place / part
                made = not child.is_dir()
                child.mkdir(exist_ok=True)
                if made and controller == "cpuset":
                    for file in ("cpuset.cpus", "cpuset.mems"):
                        (child / file).write_text((place / file).read_text())
                place = child
            if self.v2:
                _delegate(place)

    def _write(self, path: str, settings: list[Setting]) -> None:
        for setting in settings:
            file = self.file(setting.controller, path, setting.file)
            if not file.parent.is_dir():
                continue
            try:
                if file.read_text().strip() != setting.value:
                    file.write_text(setting.value)
            except OSError as error:
                log.warning("Failed to write %s to %s: %s", setting.value, file, error)


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
    folders = sorted((found for found in place.rglob("*") if found.is_dir()), key=lambda p: len(p.parts), reverse=True)
    for folder in [*folders, place]:
        with contextlib.suppress(OSError, ValueError):
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not place.exists()
