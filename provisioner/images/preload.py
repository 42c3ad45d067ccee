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
    fill_storage(tree, images, tree / _CONTENT)
