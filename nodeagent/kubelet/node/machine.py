"""What the machine is: processors, memory, identity, addresses, file systems."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that do not change while the machine runs. memory, swap: bytes. hugepages: bytes set aside, by page size.

    cores, sockets: physical ones.
    """

    cpus: int
    memory: int
    swap: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str
    hugepages: Mapping[int, int] = field(default_factory=dict)
    cores: int = 1
    sockets: int = 1


def read_machine(root: Path = Path("/")) -> Machine:
    """Read them. A file that is missing reads as empty, as upstream's cadvisor does."""
    memory = _meminfo(root)
    release = _release(root)
    machine_id = _text(root / "etc/machine-id") or _text(root / "var/lib/dbus/machine-id")
    uuid = _text(root / "sys/class/dmi/id/product_uuid") or machine_id
    cores, sockets = _topology(root)
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal", 0),
        swap=memory.get("SwapTotal", 0),
        machine_id=machine_id,
        system_uuid=uuid,
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=release.get("PRETTY_NAME", "Linux"),
        architecture=architecture,
        hugepages=_hugepages(root),
        cores=cores,
        sockets=sockets,
    )


def memory_available(root: Path = Path("/")) -> int:
    """Bytes that could be had without swapping."""
    return _meminfo(root).get("MemAvailable", 0)


def processes(root: Path = Path("/")) -> tuple[int, int]:
    """(how many tasks there are, how many there may be).

    Of a small machine the memory for them is at its end long before their numbers (pkg/kubelet/stats/pidlimit).
    """
    running = _text(root / "proc/loadavg").split()[3].partition("/")[2]
    limits = [_text(root / "proc/sys/kernel" / name) for name in ("pid_max", "threads-max")]
    return int(running), min((int(limit) for limit in limits if limit), default=0)


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Bytes and inodes of a file system."""

    size: int
    available: int
    inodes: int
    inodes_free: int


def filesystem(path: Path) -> Filesystem:
    """Of the file system that holds `path`, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    status = os.statvfs(path)
    return Filesystem(
        status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize, status.f_files, status.f_favail
    )


def default_address() -> str:
    """The address that the machine would use towards others: of the default route, else the first not loopback.

    Sends nothing: connecting a datagram socket only asks the routing table.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
            return str(asking.getsockname()[0])
        except OSError:
            pass
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except OSError:
        return "127.0.0.1"
    addresses = [str(entry[4][0]) for entry in found]
    return next((address for address in addresses if not address.startswith("127.")), "127.0.0.1")


def _hugepages(root: Path) -> dict[int, int]:
    """Bytes by page size: /sys/kernel/mm/hugepages/hugepages-<kB>kB/nr_hugepages (hugetlbpage.rst)."""
    found = {}
    for folder in sorted((root / "sys/kernel/mm/hugepages").glob("hugepages-*kB")):
        size = int(folder.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        found[size] = size * int(_text(folder / "nr_hugepages") or 0)
    return found


def _topology(root: Path) -> tuple[int, int]:
    """(physical cores, sockets), 1 of each where the machine does not tell."""
    cores, sockets = set(), set()
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*"):
        socket_id = _text(folder / "topology/physical_package_id")
        if socket_id:
            sockets.add(socket_id)
            cores.add((socket_id, _text(folder / "topology/core_id")))
    return max(1, len(cores)), max(1, len(sockets))


def _meminfo(root: Path) -> dict[str, int]:
    found = {}
    for line in (root / "proc/meminfo").read_text().splitlines():
        words = line.split()
        if len(words) >= 2:
            found[words[0].rstrip(":")] = int(words[1]) * 1024
    return found


def _release(root: Path) -> dict[str, str]:
    lines = (_text(root / "etc/os-release") or _text(root / "usr/lib/os-release")).splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: text.strip('"') for key, _, text in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
