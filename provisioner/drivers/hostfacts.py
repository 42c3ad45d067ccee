"""What the host has: memory, disk, networks. Read once and passed on, so that the checks on them are pure."""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from provisioner.spec import MIB, Lab, Network

GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class HostFacts:
    """memory: bytes of RAM in all; free_disk: bytes free where the disks go; routes: network → device."""

    memory: int
    free_disk: int
    routes: tuple[tuple[Network, str], ...]


def read_facts(home: Path, proc: Path = Path("/proc")) -> HostFacts:
    memory = 0
    for line in (proc / "meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    place = home
    while not place.exists():
        place = place.parent
    disk = os.statvfs(place)
    return HostFacts(memory, disk.f_bavail * disk.f_frsize, tuple(_routes((proc / "net/route").read_text())))


def check_host(lab: Lab, facts: HostFacts, *, own_device: str, new_disk: int) -> list[str]:
    """What the host lacks for ``lab``. ``new_disk``: bytes that its disks will take at first, not their full size."""
    problems = []
    memory = sum(machine.size.memory for machine in lab.machines)
    if memory > facts.memory:
        asked, there = render_size(memory), render_size(facts.memory)
        problems.append(f"memory: {len(lab.machines)} machines ask for {asked}, and the host has {there}")
    if problem := check_disk(facts, new_disk):
        problems.append(problem)
    networks = {"network": lab.network, "podCIDR": lab.pod_cidr, "serviceCIDR": lab.service_cidr}
    return [*problems, *check_routes(facts, own_device, **networks)]


def check_disk(facts: HostFacts, needed: int) -> str | None:
    """``needed``: bytes."""
    if needed <= facts.free_disk:
        return None
    return f"disk: {render_size(needed)} are needed at first, and {render_size(facts.free_disk)} are free"


def check_routes(facts: HostFacts, own_device: str, **networks: Network) -> list[str]:
    """Networks of the lab, by their key in the lab file, that this host already reaches by another way."""
    problems = []
    for name, network in networks.items():
        for route, device in facts.routes:
            if device != own_device and route.overlaps(network):
                whose = f"{device}, the bridge of another lab" if device.startswith("kl-") else device
                what = "is" if route == network else f"overlaps with {route}, which is"
                problems.append(f"{name}: {network} {what} reached through {whose}: choose another")
    return problems


def render_size(size: int) -> str:
    """Bytes as a lab file has them, rounded down."""
    return f"{size // GIB}Gi" if size % GIB == 0 and size else f"{size // MIB}Mi"


def closed_to_others(path: Path) -> Path | None:
    """The first folder on the way to ``path`` that other users may not pass through, or ``None``."""
    for folder in reversed(path.parents):
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def _routes(text: str) -> list[tuple[Network, str]]:
    """The lines of /proc/net/route; addresses there are little-endian hexadecimal. The default route is left out."""
    found = []
    for line in text.splitlines()[1:]:
        device, destination, _gateway, _flags, _, _, _, mask = line.split()[:8]
        if mask != "00000000":
            address = ipaddress.IPv4Address(int(destination, 16).to_bytes(4, "little"))
            netmask = ipaddress.IPv4Address(int(mask, 16).to_bytes(4, "little"))
            found.append((Network(f"{address}/{netmask}"), device))
    return found
