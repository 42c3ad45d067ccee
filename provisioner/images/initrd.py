"""A small initrd: busybox, two virtio drivers and one script, as an uncompressed-module newc cpio archive, gzip-packed.

Debian's own initrd is ten times as large and its scripts cost an emulated CPU some 20 seconds.
Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import gzip
import lzma
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from provisioner.images.errors import ImageError

#: busybox applets that the init script calls; each is a symbolic link in /bin.
APPLETS = (
    "sh", "mount", "insmod", "cat", "dd", "blockdev", "stat", "chroot", "sha256sum", "tar", "gzip", "mkdir", "sleep",
    "usleep", "switch_root",
)  # fmt: skip


def render_cpio(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    """A newc archive of ``name → (mode, content)``; a link's content is its target. Times are 0, inodes count from
    1."""
    out = bytearray()
    for number, (name, (mode, data)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))], start=1):
        raw = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (raw, data):
            out += part
            out += b"\0" * (-len(out) % 4)
    return bytes(out)


def plan_module_order(wanted: Sequence[str], dependencies: Mapping[str, Sequence[str]]) -> list[str]:
    """Module paths in loading order. ``dependencies`` is modules.dep: path → paths it needs (already transitive).

    ``wanted`` are names without ``.ko``. A name that has no file is built into the kernel and left out.
    """
    by_name = {PurePosixPath(path).name.split(".")[0].replace("-", "_"): path for path in dependencies}
    order: list[str] = []
    for name in wanted:
        path = by_name.get(name.replace("-", "_"))
        for needed in [*reversed(dependencies[path]), path] if path else ():
            if needed not in order:
                order.append(needed)
    return order


def build_initrd(tree: Path, init: bytes, modules: Sequence[str]) -> bytes:
    """The initrd for the kernel in ``tree``, using its static busybox. Raises ``ImageError`` when either is missing."""
    busybox = tree / "usr/bin/busybox"
    releases = sorted((tree / "usr/lib/modules").glob("*/modules.dep"))
    if not busybox.is_file() or len(releases) != 1:
        raise ImageError(f"the tree {tree} lacks busybox or holds {len(releases)} kernels instead of one")
    dependencies = {}
    for line in releases[0].read_text().splitlines():
        path, _, needs = line.partition(":")
        dependencies[path] = needs.split()
    entries: dict[str, tuple[int, bytes]] = {}
    for folder in ("bin", "dev", "proc", "sys", "root", "modules"):
        entries[folder] = (stat.S_IFDIR | 0o755, b"")
    entries["init"] = (stat.S_IFREG | 0o755, init)
    entries["bin/busybox"] = (stat.S_IFREG | 0o755, busybox.read_bytes())
    for applet in APPLETS:
        entries[f"bin/{applet}"] = (stat.S_IFLNK | 0o777, b"busybox")
    for number, path in enumerate(plan_module_order(modules, dependencies)):
        raw = (releases[0].parent / path).read_bytes()
        if path.endswith(".xz"):
            raw = lzma.decompress(raw)
        name = PurePosixPath(path).name.split(".")[0]
        entries[f"modules/{number:02}-{name}.ko"] = (stat.S_IFREG | 0o644, raw)
    return gzip.compress(render_cpio(entries), compresslevel=9, mtime=0)


def append_files(initrd: bytes, files: Mapping[str, bytes]) -> bytes:
    """The initrd with further files: the kernel unpacks concatenated archives one after the other."""
    entries = {name: (stat.S_IFREG | 0o600, data) for name, data in files.items()}
    return initrd + gzip.compress(render_cpio(entries), compresslevel=9, mtime=0)
