"""The processes of a netns machine and its cgroups: found by mount namespace and by descent, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from provisioner.errors import LabError

#: Seconds.
_KILL_DEADLINE, _REAP_DEADLINE = 15.0, 5.0
_CGROUPS = Path("/sys/fs/cgroup")


def mount_namespace(pid: int) -> int | None:
    """The inode of a process's mount namespace."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").stat().st_ino
    except OSError:
        return None


def kill_namespace(namespace: int) -> None:
    """Kill every process of a mount namespace and all that descend from them (containers are children of shims)."""
    _kill(lambda pid: mount_namespace(pid) == namespace)


def kill_network(path: Path) -> None:
    """The same for a network namespace by its name in /run/netns: what is known of a machine whose folder is gone."""
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return

    def inside(pid: int) -> bool:
        with contextlib.suppress(OSError):
            # Named files outlive a reboot, and have an inode on another file system then.
            return os.path.samestat(Path(f"/proc/{pid}/ns/net").stat(), wanted)
        return False

    _kill(inside)


def _kill(inside: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + _KILL_DEADLINE
    while True:
        members = _members(inside)
        if not members:
            return
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(members)} do not die", advice="See what they wait for: /proc/PID/stack.")
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def remove_cgroups(prefix: str) -> None:
    """Remove the cgroups below ``prefix`` (relative, ours alone) in every hierarchy, once their processes are dead."""
    hierarchies = [_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir())]
    roots = [hierarchy / prefix.lstrip("/") for hierarchy in hierarchies]
    # A killed process keeps its cgroup until init has looked at it.
    deadline = time.monotonic() + _REAP_DEADLINE
    while left := [root for root in roots if root.is_dir()]:
        for root in left:
            for folder, _, _ in os.walk(root, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _members(inside: Callable[[int], bool]) -> set[int]:
    parents: dict[int, int] = {}
    members: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z":
            continue
        parents[pid] = int(fields[1])
        if inside(pid):
            members.add(pid)
    # Descendants of descendants: parents may come after their children in the list.
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in members and pid not in members}
        members |= more
        grown = bool(more)
    return members
