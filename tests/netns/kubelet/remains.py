"""What a killed run left on this machine: processes that go on, namespaces that stay, until somebody ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_NAMESPACES = Path("/run/netns")
# Seconds for killed processes to go.
_PATIENCE = 30.0


def sweep(prefix: str = "klt-") -> None:
    """End the machines `PREFIXNAME-PID` whose process PID is no more. Those of runs beside us are left alone."""
    for namespace in _NAMESPACES.glob(f"{prefix}*"):
        owner = namespace.name.rpartition("-")[2]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _end(namespace)


def _end(namespace: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (left := list(_processes(namespace))) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    remove_cgroups(namespace.name)
    # Another worker may be at it too.
    subprocess.run(["ip", "netns", "del", namespace.name], capture_output=True)


def _processes(namespace: Path) -> Iterator[int]:
    """In the machine's network (containerd, shims, the kubelet), in its cgroups (the pods), or with a file in its
    folder (the control plane beside it)."""
    with contextlib.suppress(OSError):
        network = namespace.stat().st_ino
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                inside = (folder / "ns/net").stat().st_ino == network
                inside = inside or f":/{namespace.name}/" in (folder / "cgroup").read_text()
                if inside or f"/{namespace.name}-".encode() in (folder / "cmdline").read_bytes():
                    yield int(folder.name)


def remove_cgroups(name: str) -> None:
    """The cgroups below /NAME, in every hierarchy."""
    for root in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        # os.walk leaves errors aside: shims remove cgroups at the same time.
        for folder, _, _ in os.walk(root / name, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
