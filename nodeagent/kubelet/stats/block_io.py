"""What a cgroup reads from block devices and writes to them: `io.stat` of v2 (cgroup-v2.rst), `blkio.*` of v1
(blkio-controller.rst), with the operations that runc's libcontainer makes of either."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_DEVICES = Path("/sys/dev/block")
# Of v2's keys: the operation, and whether bytes or requests are counted.
_KEYS = {"rbytes": ("Read", True), "wbytes": ("Write", True), "rios": ("Read", False), "wios": ("Write", False)}
# The first that knows of a device tells: BFQ's own accounts, then those of what may be throttled.
_V1_SETS = ("blkio.bfq.{}_recursive", "blkio.throttle.{}_recursive", "blkio.throttle.{}")


@dataclass(frozen=True, slots=True)
class BlockIo:
    """One device since the cgroup was made. device: "/dev/vda"; "" when it is there no more.

    bytes, served: by operation, "Read" and "Write", on v1 also "Sync", "Async", "Discard" and "Total".
    """

    major: int
    minor: int
    device: str = ""
    bytes: dict[str, int] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)


def read_v2(folder: Path, devices: Path = _DEVICES) -> tuple[BlockIo, ...]:
    """The devices of a cgroup by number; none where the controller is off."""
    found = _Found(devices)
    for line in _lines(folder / "io.stat"):
        name, *pairs = line.split()
        for pair in pairs:
            key, _, count = pair.partition("=")
            if key in _KEYS:
                operation, in_bytes = _KEYS[key]
                found.add(name, operation, int(count), in_bytes=in_bytes)
    return found.sorted()


def read_v1(folder: Path, devices: Path = _DEVICES) -> tuple[BlockIo, ...]:
    """The same."""
    for pattern in _V1_SETS:
        found = _Found(devices)
        for file, in_bytes in (("io_service_bytes", True), ("io_serviced", False)):
            for line in _lines(folder / pattern.format(file)):
                parts = line.split()
                if len(parts) == 3:  # the sum over all devices has no number
                    found.add(parts[0], parts[1], int(parts[2]), in_bytes=in_bytes)
        if known := found.sorted():
            return known
    return ()


class _Found:
    def __init__(self, devices: Path) -> None:
        self._devices = devices
        self._by_name: dict[str, BlockIo] = {}

    def add(self, name: str, operation: str, count: int, *, in_bytes: bool) -> None:
        entry = self._by_name.get(name)
        if entry is None:
            major, _, minor = name.partition(":")
            entry = self._by_name[name] = BlockIo(int(major), int(minor), self._device(name))
        (entry.bytes if in_bytes else entry.served)[operation] = count

    def _device(self, name: str) -> str:
        place = self._devices / name
        return f"/dev/{place.resolve().name}" if place.exists() else ""

    def sorted(self) -> tuple[BlockIo, ...]:
        return tuple(sorted(self._by_name.values(), key=lambda entry: (entry.major, entry.minor)))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
