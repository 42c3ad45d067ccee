"""subPath mounts that a container cannot turn against the node.

A container may replace a folder of its volume by a symlink at any moment. So the path is walked here, folder by
folder, by descriptors: no link is ever followed by the kernel, `..` goes back to the folder that we came from, and what
is given to the runtime is a bind mount of the descriptor that came out, not a path (CVE-2017-1002101, CVE-2021-25741;
pkg/volume/util/subpath/subpath_linux.go).

openat2 with RESOLVE_BENEATH does the same in one call, but not under attack: it gives up (EAGAIN) at each `..` of a
link when anything on the machine was renamed meanwhile, and who renames without end makes it fail nearly every time.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections import deque
from pathlib import Path

from . import mounts

log = logging.getLogger(__name__)

# Ways in which a folder that is missing cannot be made.
_UNMADE = (errno.ENOENT, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)
# The kernel's own limit of links in one path; and ours of steps in all, which bounds what one path may cost (10 ms).
_LINKS, _STEPS = 40, 4096
# Folders below each other: each is a descriptor as long as the walk takes.
_DEPTH = 128


class SubPathProblem(Exception):
    """The subPath cannot be used; the text says why."""


def open_below(root: Path, relative: str, *, create: bool = True) -> int:
    """Open `relative` under `root` with O_PATH; returns the descriptor. Symlinks that leave `root` are refused.

    create: make what is missing as folders, with the mode of the volume; not what a link names. Raises SubPathProblem.
    """
    parts = _parts(relative)
    if ".." in parts or relative.startswith("/"):
        if relative.startswith("/"):
            raise SubPathProblem(f"error SubPath `{relative}` must not be an absolute path")
        raise SubPathProblem(f"unable to provision SubPath `{relative}`: must not contain '..'")
    try:
        return _walk(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), parts, create)
    except OSError as error:
        why = "it leads out of the volume" if error.errno == errno.EXDEV else error.strerror
        raise SubPathProblem(f"subPath {relative!r}: {why}") from error


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _walk(base: int, parts: list[str], create: bool) -> int:
    """Open the last of `parts`; closes `base`. Raises OSError, EXDEV for a way out."""
    mode = stat.S_IMODE(os.fstat(base).st_mode)
    way = [base]  # from the volume down to where we are
    left = deque((part, create) for part in parts)
    links = steps = 0
    try:
        while left:
            name, may_make = left.popleft()
            steps += 1
            if steps > _STEPS or len(way) > _DEPTH:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            if name == "..":
                if len(way) == 1:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
                os.close(way.pop())
                continue
            way.append(_open_or_make(way[-1], name, mode if may_make else None))
            kind = os.fstat(way[-1]).st_mode
            if stat.S_ISLNK(kind):
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                target = os.readlink("", dir_fd=way[-1])
                os.close(way.pop())
                if target.startswith("/"):
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
                left.extendleft((part, False) for part in reversed(_parts(target)))
            elif left and not stat.S_ISDIR(kind):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return way.pop()
    finally:
        for descriptor in way:
            os.close(descriptor)


def _open_or_make(parent: int, name: str, mode: int | None) -> int:
    """A link is opened itself. mode: of the folder that is made when there is nothing; None for none."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        if mode is None:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        # Not by name: it may be a symlink by now.
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchmod(made, mode)
        finally:
            os.close(made)
    return os.open(name, flags, dir_fd=parent)


def bind_subpath(volume: Path, relative: str, target: Path) -> None:
    """Bind `relative` of `volume` at `target` (made as needed). Idempotent. Raises SubPathProblem or OSError.

    What is missing becomes a folder, in volumes of files too, as upstream: of a key that a ConfigMap does not have.
    """
    descriptor = open_below(volume, relative)
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


def bind_mount(mount: str, container: str, volume: Path, relative: str, target: Path) -> None:
    """`bind_subpath` for a volume mount. Raises SubPathProblem with what the pod's owner is told.

    Why it failed is logged only: it could tell of the node's files.
    """
    try:
        bind_subpath(volume, relative, target)
    except (SubPathProblem, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        log.error("Failed to prepare subPath for volumeMount %s of container %s: %s", mount, container, error)
        what = "create subPath directory" if cause.errno in _UNMADE else "prepare subPath"
        raise SubPathProblem(f'failed to {what} for volumeMount "{mount}" of container "{container}"') from error
