"""What the host has: memory, disk, networks. Read once and passed on, so that the checks on them are pure."""

from __future__ import annotations

import ipaddress
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from provisioner.spec import MIB, Lab, Network, NetworkV6

GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class HostFacts:
    """memory: bytes of RAM in all; free_disk: bytes free where the disks go; routes: network → device. ipv6: whether
    interfaces may have such addresses."""

    memory: int
    free_disk: int
    routes: tuple[tuple[Network | NetworkV6, str], ...]
    ipv6: bool = True


def read_facts(home: Path, proc: Path = Path("/proc")) -> HostFacts:
    memory = 0
    for line in (proc / "meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    place = home
    while not place.exists():
        place = place.parent
    disk = os.statvfs(place)
    routes: list[tuple[Network | NetworkV6, str]]
    routes = [*_routes((proc / "net/route").read_text()), *_routes_v6(_text(proc / "net/ipv6_route"))]
    ipv6 = _text(proc / "sys/net/ipv6/conf/default/disable_ipv6").strip() == "0"
    return HostFacts(memory, disk.f_bavail * disk.f_frsize, tuple(routes), ipv6)


def check_host(lab: Lab, facts: HostFacts, *, own_device: str, new_disk: int) -> list[str]:
    """What the host lacks for ``lab``. ``new_disk``: bytes that its disks will take at first, not their full size."""
    problems = []
    memory = sum(machine.size.memory for machine in lab.machines)
    if memory > facts.memory:
        asked, there = render_size(memory), render_size(facts.memory)
        problems.append(f"memory: {len(lab.machines)} machines ask for {asked}, and the host has {there}")
    if problem := check_disk(facts, new_disk):
        problems.append(problem)
    problems += check_ipv6(lab, facts)
    networks = {
        "network": lab.network, "podCIDR": lab.pod_cidr, "serviceCIDR": lab.service_cidr,
        "networkv6": lab.network_v6, "podCIDRv6": lab.pod_cidr_v6, "serviceCIDRv6": lab.service_cidr_v6,
    }  # fmt: skip
    return [*problems, *check_routes(facts, own_device, **networks)]


def check_ipv6(lab: Lab, facts: HostFacts) -> list[str]:
    """What a lab with an IPv6 network needs of the host's kernel."""
    if lab.network_v6 is None or facts.ipv6:
        return []
    return [f"networkv6: {lab.network_v6}: this host has IPv6 turned off (net.ipv6.conf.default.disable_ipv6)"]


def check_disk(facts: HostFacts, needed: int) -> str | None:
    """``needed``: bytes."""
    if needed <= facts.free_disk:
        return None
    return f"disk: {render_size(needed)} are needed at first, and {render_size(facts.free_disk)} are free"


def check_routes(facts: HostFacts, own_device: str, **networks: Network | NetworkV6 | None) -> list[str]:
    """Networks of the lab, by their key in the lab file, that this host already reaches by another way."""
    problems = []
    for name, network in networks.items():
        for route, device in facts.routes:
            if network is None or route.version != network.version or device == own_device:
                continue
            if route.overlaps(network):
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


def _routes_v6(text: str) -> list[tuple[NetworkV6, str]]:
    """The lines of /proc/net/ipv6_route that lead out by an interface, but the default route and link-local ones."""
    found = []
    for line in text.splitlines():
        words = line.split()
        address, length, device = ipaddress.IPv6Address(int(words[0], 16)), int(words[1], 16), words[9]
        if length and device != "lo" and not address.is_link_local and not address.is_multicast:
            found.append((NetworkV6((address, length)), device))
    return found


def _text(path: Path) -> str:
    """ "" for a file that a kernel without IPv6 does not have."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
