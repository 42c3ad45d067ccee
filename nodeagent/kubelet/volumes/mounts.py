"""mount(2) and umount(2) without a process: a tmpfs for a secret costs microseconds, `mount` costs milliseconds."""

from __future__ import annotations

import ctypes
import functools
import os
import re
from pathlib import Path

_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 32, 4096, 16384
_MS_NOSUID, _MS_NODEV = 2, 4
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8

_libc = ctypes.CDLL(None, use_errno=True)

_ESCAPED = re.compile(r"\\([0-7]{3})")


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    arguments = [part.encode() or None for part in (source, target, kind)]
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}", target)


@functools.cache  # the machine's kernel stays what it is, and every pod mounts one
def keeps_tmpfs_in_memory(proc: Path = Path("/proc")) -> bool:
    """Whether a tmpfs can be kept out of swap: Linux 6.4, in no user namespace (pkg/kubelet/util/swap)."""
    release = re.match(r"(\d+)\.(\d+)", (proc / "sys/kernel/osrelease").read_text())
    everybody = (proc / "self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    return everybody and release is not None and (int(release[1]), int(release[2])) >= (6, 4)


def mount_tmpfs(target: Path, size: int = 0) -> None:
    """Mount a tmpfs, kept out of swap where the kernel can. size: bytes, 0 for the kernel's default. Raises OSError."""
    options = [f"size={size}"] if size else []
    options += ["noswap"] if keeps_tmpfs_in_memory() else []
    _mount("tmpfs", str(target), "tmpfs", 0, ",".join(options))


def mount_huge_pages(target: Path, page_size: str, size: int = 0) -> None:
    """Mount a hugetlbfs. page_size: bytes. size: bytes, 0 for no limit. Raises OSError."""
    options = f"pagesize={page_size}" + (f",size={size}" if size else "")
    _mount("nodev", str(target), "hugetlbfs", 0, options)


def bind(source: str, target: str, *, recursive: bool = True, read_only: bool = False) -> None:
    """Make `target` show `source`. Raises OSError."""
    _mount(source, target, "", _MS_BIND | (_MS_REC if recursive else 0), "")
    if read_only:
        # The kernel ignores the flag of the first call.
        _mount(source, target, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY, "")


def unmount(target: str) -> None:
    """Take a mount away at once; what is still open lives on until closed. Raises OSError."""
    if _libc.umount2(target.encode(), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"umount {target}: {os.strerror(number)}", target)


def mounts_below(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """Mount points at or below `folder`, the deepest first."""
    prefix = str(folder)
    found = []
    for line in mountinfo.read_text().splitlines():
        point = _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), line.split(" ")[4])
        if point == prefix or point.startswith(f"{prefix}/"):
            found.append(point)
    return sorted(found, key=len, reverse=True)


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted on `path` (a bind mount of the same file system is not seen)."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False


def is_bound(path: Path) -> bool:
    """Whether something is mounted on exactly `path`, bind mounts included. Reads the whole mount table."""
    return str(path) in mounts_below(path)
