"""Which block device a disk is, whether anybody holds it, and growing the file system on it.

A hint where a disk is may be old, for device names are used again: what counts is what the device says of itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .filesystems import MountProblem, Run

_SYS, _BY_ID = Path("/sys/block"), Path("/dev/disk/by-id")
_GROW = 300.0  # seconds
_EXT = frozenset(("ext2", "ext3", "ext4"))
_CORRECTED = 2  # exit codes of e2fsck up to here: what was wrong is not any more


def find_device(disk: str, hint: str = "", sys: Path = _SYS, by_id: Path = _BY_ID) -> Path:
    """The device of the disk with this id. hint: its path, if the driver knows. Raises MountProblem.

    A virtio device says its id as its serial number, a loop device as the name of its file.
    """
    candidates = [Path(hint)] if hint else [by_id / f"virtio-{disk}", *(Path("/dev", each) for each in _named(sys))]
    for device in candidates:
        if device.is_block_device() and is_disk(device.resolve().name, disk, sys):
            return device
    where = f"{hint} is not it" if hint else "no device has its serial number"
    raise MountProblem(f"device of disk {disk} not found: {where}")


def _named(sys: Path) -> list[str]:
    return sorted(each.parent.name for each in sys.glob("*/serial"))


def is_disk(name: str, disk: str, sys: Path = _SYS) -> bool:
    """Whether the kernel's block device `name` (as `vdd`) is the disk."""
    for file, pattern in (("serial", re.escape(disk)), ("loop/backing_file", rf".*/{re.escape(disk)}(\.[a-z0-9]+)?")):
        try:
            told = (sys / name / file).read_text().strip()
        except OSError:
            continue
        return re.fullmatch(pattern, told) is not None
    return False


def check_free(device: Path) -> None:
    """Raises OSError (EBUSY) while a file system or anything else holds the device, in whatever mount namespace."""
    os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))


def device_size(device: Path) -> int:
    """Bytes. Raises OSError."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


async def grow_unmounted(run: Run, device: Path, kind: str) -> None:
    """Make an ext file system that is not mounted fill its device, if there is more than it has. Raises MountProblem.

    Others grow where they are mounted. Mounted, ext grows only for who has CAP_SYS_RESOURCE.
    """
    if kind not in _EXT:
        return
    told = await run("dumpe2fs", "-h", str(device), check=False)
    size = filesystem_size(told.text)
    # A last group too small to be worth it is left out (ext2fs_initialize).
    if told.code != 0 or not size or device_size(device) - size < max(1 << 20, size // 1024):
        return
    checked = await run("e2fsck", "-f", "-p", str(device), timeout=_GROW, check=False)
    if checked.code > _CORRECTED:
        raise MountProblem(f"e2fsck of {device} before growing failed: exit status {checked.code}: {checked.text}")
    await _grow(run, "resize2fs", str(device))


async def grow_mounted(run: Run, device: Path, mounted: Path, kind: str) -> None:
    """Make the file system fill its device while it is in use (mount-utils resizefs_linux.go). Raises MountProblem."""
    if kind in _EXT:
        await _grow(run, "resize2fs", str(device))
    elif kind == "xfs":
        await _grow(run, "xfs_growfs", "-d", str(mounted))
    else:
        raise MountProblem(f"resize of format {kind} is not supported for device {device} mounted at {mounted}")


async def _grow(run: Run, *argv: str) -> None:
    done = await run(*argv, timeout=_GROW, check=False)
    if done.code != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise MountProblem(f"resize of device {argv[-1]} failed: exit status {done.code}. {argv[0]} output: {said}")


def filesystem_size(told: str) -> int:
    """Bytes of a file system, of `dumpe2fs -h`; 0 when it does not say. Pure."""
    found = dict(re.findall(r"^(Block count|Block size):\s+(\d+)$", told, re.MULTILINE))
    return int(found.get("Block count", 0)) * int(found.get("Block size", 0))
