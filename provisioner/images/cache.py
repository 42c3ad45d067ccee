"""The image cache: ``$KUBELAB_HOME/images/<kind>/<digest>/``, each entry whole or absent.

A build writes into a temporary directory beside its final place and is renamed when complete; a broken-off build
leaves only that directory, which the next build or ``prune`` removes. One lock file per kind keeps two builds apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit.files import sync_directory
from provisioner.images.errors import ImageError
from provisioner.images.tools import os_error

#: Kinds of cache entries: what people ask for, and the intermediate trees and wheels that make a rebuild fast.
KINDS = ("guest", "oci", "box", "bundle", "cni", "netns-store", "layer", "tree")
ASKED_FOR = ("guest", "oci", "box")

#: Free bytes below which no build starts: a guest build needs about 3 GiB for a short while.
MINIMUM_FREE = 4 * 1024**3

_TEMPORARY = ".building-"


@dataclass(frozen=True)
class CachedImage:
    """One entry of the cache. ``size`` is in bytes on disk, ``created`` in seconds since the epoch."""

    kind: str
    digest: str
    path: Path
    size: int
    created: float

    @property
    def name(self) -> str:
        """A container image's reference; "" for the other kinds."""
        described = self.path / "image.json"
        return str(json.loads(described.read_text()).get("name", "")) if described.is_file() else ""


def digest_of(parts: Iterable[tuple[str, bytes | str]]) -> str:
    """16 hexadecimal digits over named parts; the order of the parts counts, their boundaries cannot be confused."""
    total = hashlib.sha256()
    for label, data in parts:
        raw = data.encode() if isinstance(data, str) else data
        total.update(f"{label}\0{len(raw)}\0".encode())
        total.update(raw)
    return total.hexdigest()[:16]


def directory_parts(root: Path, label: str) -> list[tuple[str, bytes]]:
    """Every file below ``root`` as digest parts: relative name, mode and content; symbolic links by their target."""
    parts: list[tuple[str, bytes]] = []
    for path in sorted(root.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        name = f"{label}/{path.relative_to(root)}"
        if path.is_symlink():
            parts.append((name, b"-> " + os.fsencode(path.readlink())))
        elif path.is_file():
            executable = b"x" if path.stat().st_mode & 0o100 else b"-"
            parts.append((name, executable + path.read_bytes()))
    return parts


def source_parts(*modules: Path) -> list[tuple[str, bytes]]:
    """The builders' own code as digest parts: a changed builder makes a new image."""
    return [(f"builder/{path.name}", path.read_bytes()) for path in modules]


def ensure(home: Path, kind: str, digest: str, build: Callable[[Path], None]) -> Path:
    """The entry's directory, built by ``build(directory)`` when it is not there yet. Blocks while another process
    builds.

    Raises ``ImageError`` when the build fails or the disk is too full to start.
    """
    folder = home / "images" / kind
    final = folder / digest
    if final.is_dir():
        return final
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if final.is_dir():
                return final
            _remove_leftovers(folder)
            free = shutil.disk_usage(folder).free
            if free < MINIMUM_FREE:
                raise ImageError(
                    f"{folder} has {free / 1024**3:.1f} GiB free, building needs {MINIMUM_FREE / 1024**3:.0f}: "
                    "free some space (kubelab image prune) or set KUBELAB_HOME to a larger disk"
                )
            temporary = folder / f"{_TEMPORARY}{digest}-{os.getpid()}"
            temporary.mkdir()
            try:
                build(temporary)
                temporary.rename(final)
            except BaseException:
                remove_tree(temporary)
                raise
            sync_directory(folder)
    except OSError as e:
        raise os_error(e) from e
    return final


def list_images(home: Path) -> list[CachedImage]:
    """What is in the cache, newest first."""
    found = []
    for kind in KINDS:
        folder = home / "images" / kind
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.name.startswith("."):
                found.append(CachedImage(kind, path.name, path, _size(path), path.stat().st_mtime))
    return sorted(found, key=lambda image: -image.created)


def prune(home: Path, keep: Collection[str] = ()) -> list[Path]:
    """Remove every cache entry whose digest is not in ``keep``, and all leftovers of broken-off builds.

    Returns what was removed. Waits for a running build of the same kind. An image that a lab's disks refer to must be
    in ``keep``: overlays die with their backing file.
    """
    removed = []
    for kind in KINDS:
        folder = home / "images" / kind
        if not folder.is_dir():
            continue
        with _locked(folder):
            removed += _remove_leftovers(folder)
            for path in sorted(folder.iterdir()):
                if path.is_dir() and path.name not in keep:
                    remove_tree(path)
                    removed.append(path)
    return removed


def remove_tree(path: Path) -> None:
    """Remove a directory tree, also one with read-only directories; refuses when something is mounted inside."""
    if inside := _mounts_inside(path):
        raise ImageError(f"{inside[0]} is still mounted inside a build directory: umount it, then try again")
    shutil.rmtree(path)


def _remove_leftovers(folder: Path) -> list[Path]:
    leftovers = sorted(folder.glob(f"{_TEMPORARY}*"))
    for path in leftovers:
        # mmdebstrap mounts proc, sys and dev; killed with the machine it worked on, it leaves them.
        for mount in reversed(_mounts_inside(path)):
            subprocess.run(["umount", mount], check=False)
        remove_tree(path)
    return leftovers


def _mounts_inside(path: Path) -> list[str]:
    """In the order in which they were mounted."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [mount for mount in mounts if mount.startswith(f"{path.resolve()}/")]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _size(path: Path) -> int:
    return sum(entry.lstat().st_blocks * 512 for entry in path.rglob("*"))
