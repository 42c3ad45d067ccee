"""subPath mounts that a container cannot turn against the node.

A container may replace a folder of its volume by a symlink at any moment. So the path is walked by file descriptors
that never follow a link, and what is given to the runtime is a bind mount of the descriptor, not a path
(CVE-2017-1002101; pkg/volume/util/subpath/subpath_linux.go).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from . import mounts

_WALK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class SubPathProblem(Exception):
    """The subPath cannot be used; the text says why."""


def open_below(root: Path, relative: str, *, create: bool = True) -> int:
    """Open `relative` under `root` with O_PATH, following no symlink; returns the descriptor.

    create: make what is missing as folders (0750). Raises SubPathProblem when the path leaves the volume.
    """
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if ".." in parts or relative.startswith("/"):
        raise SubPathProblem(f"subPath {relative!r} must not contain '..' or be absolute")
    current = os.open(root, os.O_PATH | os.O_CLOEXEC)
    try:
        for part in parts:
            if create:
                with contextlib.suppress(FileExistsError, NotADirectoryError):
                    os.mkdir(part, 0o750, dir_fd=current)
            following = os.open(part, _WALK, dir_fd=current)
            os.close(current)
            current = following
            if stat.S_ISLNK(os.fstat(current).st_mode):
                raise SubPathProblem(f"subPath {relative!r}: {part!r} is a symbolic link")
    except OSError as error:
        os.close(current)
        raise SubPathProblem(f"subPath {relative!r}: {error.strerror}") from error
    except SubPathProblem:
        os.close(current)
        raise
    return current


def bind_subpath(volume: Path, relative: str, target: Path) -> None:
    """Bind `relative` of `volume` at `target` (made as needed). Idempotent. Raises SubPathProblem or OSError."""
    descriptor = open_below(volume, relative)
    try:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        target.parent.mkdir(parents=True, exist_ok=True)
        if mounts.mounts_below(target):
            mounts.unmount(str(target))
        if folder:
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounts.bind(f"/proc/self/fd/{descriptor}", str(target))
    finally:
        os.close(descriptor)
