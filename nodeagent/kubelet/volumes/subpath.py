"""subPath mounts that a container cannot turn against the node.

A container may replace a folder of its volume by a symlink at any moment. So the path is resolved by the kernel, which
follows links as long as they stay below the volume (openat2, RESOLVE_BENEATH), and what is given to the runtime is a
bind mount of the descriptor that came out, not a path (CVE-2017-1002101; pkg/volume/util/subpath/subpath_linux.go).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

from . import mounts

_SYS_OPENAT2 = 437  # the same number on every architecture; Linux 5.6
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class SubPathProblem(Exception):
    """The subPath cannot be used; the text says why."""


def open_below(root: Path, relative: str, *, create: bool = True) -> int:
    """Open `relative` under `root` with O_PATH; returns the descriptor. Symlinks that leave `root` are refused.

    create: make what is missing as folders, with the mode of the volume. Raises SubPathProblem.
    """
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if ".." in parts or relative.startswith("/"):
        raise SubPathProblem(f"subPath {relative!r} must not contain '..' or be absolute")
    try:
        base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SubPathProblem(f"subPath {relative!r}: {error.strerror}") from error
    try:
        return _resolve(base, parts, create)
    except OSError as error:
        why = "it leads out of the volume" if error.errno in (errno.EXDEV, errno.ELOOP) else error.strerror
        raise SubPathProblem(f"subPath {relative!r}: {why}") from error
    finally:
        os.close(base)


def _resolve(base: int, parts: list[str], create: bool) -> int:
    """Raises OSError. What is missing is made one folder at a time, each in a parent that was resolved safely."""
    path = "/".join(parts) or "."
    try:
        return _open_beneath(base, path)
    except FileNotFoundError:
        if not create:
            raise
    mode = stat.S_IMODE(os.fstat(base).st_mode)
    for count in range(1, len(parts) + 1):
        parent = _open_beneath(base, "/".join(parts[: count - 1]) or ".")
        try:
            _make(parent, parts[count - 1], mode)
        finally:
            os.close(parent)
    return _open_beneath(base, path)


def _make(parent: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except (FileExistsError, NotADirectoryError):
        return
    # Not by name: it may be a symlink by now.
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fchmod(made, mode)
    finally:
        os.close(made)


def _open_beneath(base: int, path: str) -> int:
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(128):
        found = _libc.syscall(_SYS_OPENAT2, base, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
        if found >= 0:
            return int(found)
        number = ctypes.get_errno()
        if number != errno.EAGAIN:  # somebody renamed a folder of the way meanwhile
            break
    raise OSError(number, os.strerror(number), path)


def bind_subpath(volume: Path, relative: str, target: Path, *, read_only: bool = False) -> None:
    """Bind `relative` of `volume` at `target` (made as needed). Idempotent. Raises SubPathProblem or OSError.

    read_only: the volume may not be written, so nothing is made in it.
    """
    descriptor = open_below(volume, relative, create=not read_only)
    try:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        target.parent.mkdir(parents=True, exist_ok=True)
        for point in mounts.mounts_below(target):
            mounts.unmount(point)
        if target.is_dir() != folder and (target.exists() or target.is_symlink()):
            target.rmdir() if target.is_dir() else target.unlink()
        if folder:
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounts.bind(f"/proc/self/fd/{descriptor}", str(target))
    finally:
        os.close(descriptor)
