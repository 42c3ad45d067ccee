"""Container images into the guest before it ever boots: the guest's own containerd runs in a chroot, imports and stops.

Importing at first boot would cost an emulated machine a minute. The content store and the snapshots come out exactly
as the same containerd would make them; the registry's storage links to the same blobs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from provisioner.images.containers import OciImage
from provisioner.images.recipes import RECIPES
from provisioner.images.registry import fill_storage
from provisioner.images.tools import run_tool

_CONTENT = Path("var/lib/containerd/io.containerd.content.v1.content")
_SNAPSHOTS = Path("var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots")


def preload_images(tree: Path, images: Mapping[str, OciImage]) -> None:
    """Import ``images`` into namespace ``k8s.io`` of the containerd in ``tree``, unpacked, and into the registry's
    storage.

    Everything runs in mount and PID namespaces of its own, which end with the script: nothing stays mounted or running.
    Raises ``ImageError`` with containerd's last lines when it fails.
    """
    folder = tree / "tmp/preload"
    folder.mkdir(parents=True)
    for name, image in images.items():
        shutil.copy2(image.archive, folder / f"{name}.tar")
    shutil.copy2(RECIPES / "guest/preload.sh", folder / "preload.sh")
    run_tool(
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-ec",
        'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; mount -t tmpfs run "$1/run"; '
        'chroot "$1" /bin/sh /tmp/preload/preload.sh', "sh", tree,
    )  # fmt: skip
    shutil.rmtree(folder)
    share_programs(tree, tree / _SNAPSHOTS)
    fill_storage(tree, images, tree / _CONTENT)


def share_programs(tree: Path, snapshots: Path) -> int:
    """Make programs and libraries that an unpacked image and the machine itself both have one file (hard links).

    Equal in content, owner and mode, at the same path. The interpreter and its libraries are then in memory once,
    read once, and translated once by an emulated processor, whose translations go by a page's address in memory.
    Only programs: nobody edits them in place. Returns how many files were joined.
    """
    joined = 0
    for layer in sorted(snapshots.glob("*/fs")):
        for path in sorted(layer.rglob("*")):
            own = tree / path.relative_to(layer)
            if path.is_file() and not path.is_symlink() and _same_program(path, own):
                path.unlink()
                path.hardlink_to(own)
                joined += 1
    return joined


def _same_program(path: Path, own: Path) -> bool:
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return False
    if not own.is_file() or own.is_symlink() or own.samefile(path):
        return False
    one, other = path.stat(), own.stat()
    same = (one.st_size, one.st_mode, one.st_uid, one.st_gid) == (
        other.st_size,
        other.st_mode,
        other.st_uid,
        other.st_gid,
    )
    return same and path.read_bytes() == own.read_bytes()
