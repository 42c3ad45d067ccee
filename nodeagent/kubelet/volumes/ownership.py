"""The fsGroup of a volume: the group owns what is in it, and what will be made in it (pkg/volume/volume_linux.go)."""

from __future__ import annotations

import ctypes
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

_READ_WRITE, _READ, _ENTER = 0o660, 0o440, 0o110
_AT_EMPTY_PATH = 0x1000
_libc = ctypes.CDLL(None, use_errno=True)


def set_group(root: Path, gid: int, *, read_only: bool = False, on_root_mismatch: bool = False) -> None:
    """Give everything below `root` to `gid`, follow no link. Costs a walk of the volume. Raises OSError.

    What cannot be given stays as it is, as upstream: one file that may not be changed keeps no pod from starting.

    read_only: the group gets to read only. on_root_mismatch: only when the root is not as it should be
    (fsGroupChangePolicy OnRootMismatch).
    """
    if on_root_mismatch and is_owned(root, gid, read_only=read_only):
        return
    # By descriptors of folders: a container that shares the volume may put a link where a folder was.
    for _, names, files, folder in os.fwalk(root, topdown=False, follow_symlinks=False):
        for name in (*files, *names):
            _own(name, folder, gid, read_only)
    # The root is last: a walk that was broken off is begun again.
    _own(str(root), None, gid, read_only)


def is_owned(root: Path, gid: int, *, read_only: bool) -> bool:
    """Whether the root of the volume shows that the group has it."""
    found = root.stat()
    wanted = wanted_mode(found.st_mode, read_only)
    return found.st_gid == gid and stat.S_IMODE(found.st_mode) & wanted == wanted


def wanted_mode(mode: int, read_only: bool) -> int:
    """The permission bits that the group needs in addition. Pure."""
    bits = _READ if read_only else _READ_WRITE
    return bits | _ENTER | stat.S_ISGID if stat.S_ISDIR(mode) else bits


def _own(name: str, folder: int | None, gid: int, read_only: bool) -> None:
    try:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return  # somebody removed it meanwhile
    try:
        if _libc.fchownat(handle, b"", -1, gid, _AT_EMPTY_PATH) != 0:
            log.warning("Lchown of %s failed: %s", name, os.strerror(ctypes.get_errno()))
        found = os.fstat(handle)
        if not stat.S_ISLNK(found.st_mode):
            mode = stat.S_IMODE(found.st_mode) | wanted_mode(found.st_mode, read_only)
            Path(f"/proc/self/fd/{handle}").chmod(mode)
    except OSError as error:
        log.warning("Chmod of %s failed: %s", name, error)
    finally:
        os.close(handle)
