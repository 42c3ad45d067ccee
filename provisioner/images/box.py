"""The Vagrant box for vagrant-libvirt: the guest's disk with an initrd that carries Vagrant's login and DHCP.

Vagrant creates the machine and expects to log in with its well-known insecure key, which it then replaces by a fresh
one (config.ssh.insert_key). The lab's own machines never get that key: it is only in the box's initrd.
Format: vagrant-libvirt's box format, version 1 (metadata.json, Vagrantfile, box.img in a tar.gz).
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from provisioner.images import cache, disk
from provisioner.images.errors import ImageError
from provisioner.images.guest import GuestImage, ensure_guest_image
from provisioner.images.initrd import append_files
from provisioner.images.recipes import RECIPES
from provisioner.images.tools import require_tools, run_tool

#: Where Vagrant's package (Debian's or the vendor's) keeps the public half of the insecure key.
_VAGRANT_KEYS = (
    Path("/usr/share/rubygems-integration/all/gems"),
    Path("/opt/vagrant/embedded/gems/gems"),
)


def build_box(home: Path, report: Callable[[str], None] = lambda _: None) -> Path:
    """The ``.box`` file for ``vagrant box add``, made from the guest image (which is built if need be) and cached.

    Needs Vagrant on this machine, for its insecure public key. Raises ``ImageError``.
    """
    guest = ensure_guest_image(home, report)
    key = insecure_public_key()
    here = Path(__file__).parent
    digest = cache.digest_of(
        [
            ("guest", guest.digest),
            ("key", key),
            *cache.directory_parts(RECIPES / "box", "box"),
            *cache.source_parts(here / "box.py", here / "disk.py"),
        ]
    )

    def build(target: Path) -> None:
        require_tools("qemu-img", "mcopy")
        report("Vagrant box: writing the disk")
        _build(target, guest, key)

    return cache.ensure(home, "box", digest, build) / "kubelab.box"


def insecure_public_key(places: tuple[Path, ...] = _VAGRANT_KEYS) -> str:
    """The public key(s) that this machine's Vagrant logs in with at first."""
    for place in places:
        for path in sorted(place.glob("vagrant-[0-9]*/keys/vagrant.pub")):
            return path.read_text()
    raise ImageError(
        "Vagrant is not installed here, and its box needs Vagrant's key: apt-get install vagrant vagrant-libvirt"
    )


def _build(target: Path, guest: GuestImage, key: str) -> None:
    raw, ramdisk, image = target / "disk.raw", target / "initrd.img", target / "box.img"
    run_tool("qemu-img", "convert", "-O", "raw", guest.disk, raw)
    ramdisk.write_bytes(append_files(guest.initrd.read_bytes(), {"seed.tar": _seed(key)}))
    run_tool("mcopy", "-o", "-i", f"{raw}@@{disk.BOOT_START}", ramdisk, "::initrd.img")
    disk.pack_qcow2(raw, image)
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": -(-guest.virtual_size // 1024**3)}
    (target / "metadata.json").write_text(json.dumps(metadata) + "\n")
    shutil.copyfile(RECIPES / "box/Vagrantfile", target / "Vagrantfile")
    with (
        gzip.open(target / "kubelab.box", "wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in ("metadata.json", "Vagrantfile", "box.img"):
            archive.add(target / name, arcname=name)
    for leftover in (raw, ramdisk, image, target / "metadata.json", target / "Vagrantfile"):
        leftover.unlink()


def _seed(key: str) -> bytes:
    """What the box's machines get over the guest image: the recipe's files and Vagrant's key for root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("root/.ssh")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(entry)
        entry = tarfile.TarInfo("root/.ssh/authorized_keys")
        entry.size, entry.mode = len(key.encode()), 0o600
        archive.addfile(entry, io.BytesIO(key.encode()))
        files = RECIPES / "box/files"
        for path in sorted(files.rglob("*")):
            if path.is_dir():
                continue
            entry = tarfile.TarInfo(str(path.relative_to(files)))
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(entry)
            else:
                data = path.read_bytes()
                entry.size, entry.mode = len(data), 0o755 if path.stat().st_mode & 0o100 else 0o644
                archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
