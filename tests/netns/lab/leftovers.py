"""What a netns lab has on this machine, and what of it is still there afterwards: the kernel's own lists, no memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.home import LabHome
from provisioner.spec import Lab

_NAMESPACES = Path("/run/netns")
# Seconds in which what was told to end may still be on its way.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """Network namespaces: the machines' paths in /run/netns, and the inodes of theirs and their pods'."""

    paths: frozenset[Path]
    inodes: frozenset[int]
    #: Keep the namespaces: the kernel would give the number of one that is gone to the next that is made.
    held: tuple[int, ...]


def footprint(lab: Lab) -> Footprint:
    """What the lab has now. Its pods are known by their cgroups."""
    paths = {path for path in _NAMESPACES.iterdir() if path.name.startswith(f"kubelab-{lab.name}-")}
    held = {path.stat().st_ino: os.open(path, os.O_RDONLY) for path in paths}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"/kubelab-{lab.name}/" in (folder / "cgroup").read_text():
                handle = os.open(folder / "ns/net", os.O_RDONLY)
                if held.setdefault(os.fstat(handle).st_ino, handle) != handle:
                    os.close(handle)
    return Footprint(frozenset(paths), frozenset(held), tuple(held.values()))


def leftovers(lab: Lab, place: LabHome, before: Footprint) -> list[str]:
    """One line for everything of the lab that is still there after a while. ``before`` is done with."""
    deadline = time.monotonic() + _PATIENCE
    while (found := _look(lab, place, before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for handle in before.held:
        os.close(handle)
    return found


def _look(lab: Lab, place: LabHome, before: Footprint) -> list[str]:
    found = [f"namespace {path}" for path in before.paths if path.exists()]
    found += [f"process {each}" for each in _processes(lab, place, before)]
    # os.walk leaves errors aside: other labs' cgroups come and go.
    name = f"kubelab-{lab.name}"
    found += [f"cgroup {folder}/{name}" for folder, inner, _ in os.walk("/sys/fs/cgroup") if name in inner]
    found += [f"folder {place.root}"] if place.root.exists() else []
    words = (f"kl-{lab.name}", str(place.root), _prefix(str(lab.network)), _prefix(str(lab.pod_cidr)))
    for argv in (["ip", "-o", "link"], ["ip", "-o", "address"], ["ip", "route"], ["iptables-save"], ["findmnt", "-rn"]):
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        found += [f"{' '.join(argv)}: {line}" for line in lines if any(word in line for word in words)]
    return found


def _processes(lab: Lab, place: LabHome, before: Footprint) -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is a kernel thread
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = (folder / "ns/net").stat().st_ino in before.inodes
            if int(folder.name) != os.getpid() and (inside or f"{place.root}/" in command):
                yield f"{folder.name}: {command}"


def _prefix(network: str) -> str:
    """What the addresses of a /16 or /24 begin with."""
    address, length = network.split("/")
    return ".".join(address.split(".")[: int(length) // 8]) + "."
