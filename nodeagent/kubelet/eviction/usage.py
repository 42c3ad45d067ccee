"""What pods use, as far as eviction asks: memory, processes, and what they have written to disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ROOTFS, LOGS, VOLUMES = "rootfs", "logs", "volumes"


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes and inodes."""

    used: int = 0
    inodes: int = 0

    def __add__(self, other: Disk) -> Disk:
        return Disk(self.used + other.used, self.inodes + other.inodes)


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """memory: the working set in bytes. rootfs: the writable layer. None for what was not measured."""

    name: str
    memory: int | None = None
    rootfs: Disk | None = None
    logs: Disk | None = None


@dataclass(frozen=True, slots=True)
class PodUsage:
    """memory: bytes of the whole pod's working set. volumes: of emptyDirs (not in memory) and configMaps, by name."""

    memory: int = 0
    processes: int = 0
    containers: tuple[ContainerUsage, ...] = ()
    volumes: Mapping[str, Disk] = field(default_factory=dict)

    def disk(self, parts: frozenset[str]) -> Disk:
        """What the pod has written. parts: of ROOTFS, LOGS, VOLUMES."""
        total = Disk()
        for container in self.containers:
            if ROOTFS in parts:
                total += container.rootfs or Disk()
            if LOGS in parts:
                total += container.logs or Disk()
        if VOLUMES in parts:
            total = sum(self.volumes.values(), total)
        return total
