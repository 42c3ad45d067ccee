"""The guest image: Debian with containerd, etcd, Python and the container images, tuned to boot fast without KVM."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.images import cache, disk, initrd, kernel, layers, rootfs, units
from provisioner.images.containers import OciImage, ensure_oci_images
from provisioner.images.preload import preload_images
from provisioner.images.recipes import RECIPES, read_list
from provisioner.images.tools import require_tools, run_tool
from provisioner.images.wheels import PYTHON_VERSION, VENV

#: The base command line of every boot. A crashed guest must end at once (panic=1 with reboot or pause as the
#: hypervisor says), not hang; cx16 kills kernels under emulation; the rest saves boot time on an emulated CPU (lsm=yama
#: leaves out AppArmor and SELinux).
KERNEL_ARGS = (
    "root=/dev/vda2 rw console=ttyS0 quiet oops=panic panic=1 clearcpuid=cx16 net.ifnames=0 mitigations=off "
    "lsm=yama audit=0 nokaslr tsc=reliable random.trust_cpu=on"
)

KERNEL_PACKAGE = "linux-image-cloud-amd64"

#: Everything that building needs, so that what is missing is said at once and before minutes of work.
TOOLS = (
    "mmdebstrap", "apt-get", "dpkg-deb", "gcc", "strip", "unshare", "mke2fs", "sfdisk", "mkfs.fat", "mcopy", "syslinux",
    "qemu-img",
)  # fmt: skip


@dataclass(frozen=True)
class GuestImage:
    """A built guest image. ``disk`` is a qcow2 file to be used as a backing file, never written; ``virtual_size`` and
    ``size`` (on the host's disk) are in bytes; ``kernel`` is an ELF file for direct (PVH)
    boot with ``initrd`` and the base command line ``kernel_args``; ``kubectl``
    is the guest's own, and runs on the host."""

    digest: str
    dir: Path
    disk: Path
    kernel: Path
    initrd: Path
    kernel_args: str
    kubectl: Path
    kernel_release: str
    rootfs_python: str
    virtual_size: int
    size: int


def ensure_guest_image(home: Path, report: Callable[[str], None]) -> GuestImage:
    """The guest image for the checkout's recipes, built when it is not cached (some minutes; milliseconds otherwise).

    ``report`` is told each step in a few words. Needs root, the network (the host's apt mirror and Python index) and
    4 GiB free. Raises ``ImageError``; a broken-off build leaves nothing that could be taken for an image.
    """
    if not any((home / "images" / "guest").glob("[0-9a-f]*")):
        require_tools(*TOOLS)
    images = ensure_oci_images(home, report)
    digest = guest_digest(images)

    def build(target: Path) -> None:
        require_tools(*TOOLS)
        _build(home, target, images, report)

    return _load(cache.ensure(home, "guest", digest, build), digest)


def guest_digest(images: Mapping[str, OciImage]) -> str:
    """The hash of everything that goes in: recipes, container images, and the code that puts them together."""
    here = Path(__file__).parent
    modules = ("guest", "rootfs", "initrd", "kernel", "disk", "preload", "registry", "units")
    return cache.digest_of(
        [
            *cache.directory_parts(RECIPES / "guest", "guest"),
            *cache.source_parts(*(here / f"{name}.py" for name in modules)),
            *((image.name, image.digest) for image in sorted(images.values(), key=lambda i: i.name)),
        ]
    )


def _build(home: Path, target: Path, images: Mapping[str, OciImage], report: Callable[[str], None]) -> None:
    recipe = RECIPES / "guest"
    tree, work = target / "tree", target / "work"
    work.mkdir()
    report("guest image: installing Debian packages")
    rootfs.bootstrap(tree, read_list(recipe / "packages.txt"), variant="minbase", kernel=KERNEL_PACKAGE)
    report("guest image: configuring")
    shutil.copytree(recipe / "files", tree, symlinks=True, dirs_exist_ok=True)
    units.apply(tree, read_list(recipe / "units.txt"))
    units.anonymise(tree)
    _install_venv(home, tree, report)
    report("guest image: unpacking the container images")
    preload_images(tree, images)

    report("guest image: writing the disk")
    bzimage, ramdisk = target / "vmlinuz", target / "initrd.img"
    shutil.move(next((tree / "boot").glob("vmlinuz-*")), bzimage)
    vmlinux = kernel.extract_vmlinux(
        bzimage.read_bytes(), lambda data: run_tool("chroot", tree, "zstd", "-dc", input=data)
    )
    (target / "vmlinux").write_bytes(vmlinux)
    ramdisk.write_bytes(
        initrd.build_initrd(tree, (recipe / "initrd/init").read_bytes(), read_list(recipe / "initrd-modules.txt"))
    )
    shutil.copy2(tree / "usr/bin/kubectl", target / "kubectl")
    release = next((tree / "usr/lib/modules").iterdir()).name
    disk.build_disk(target / "disk.qcow2", tree, bzimage, ramdisk, KERNEL_ARGS, work)
    manifest = {"kernel_args": KERNEL_ARGS, "kernel_release": release, "virtual_size": disk.VIRTUAL_SIZE}
    (target / "image.json").write_text(json.dumps(manifest, indent=1) + "\n")
    cache.remove_tree(tree)
    cache.remove_tree(work)


def _install_venv(home: Path, tree: Path, report: Callable[[str], None]) -> None:
    """The virtual environment of the container images, byte for byte: compiled once, for both."""
    chain = layers.ensure_chain(home, ("base", "glibc", "python", "venv"), report)
    (tree / VENV.parent).mkdir(parents=True, exist_ok=True)
    run_tool("tar", "-xzf", chain[-1] / "layer.tar.gz", "-C", tree, str(VENV))


def _load(folder: Path, digest: str) -> GuestImage:
    manifest = json.loads((folder / "image.json").read_text())
    return GuestImage(
        digest=digest,
        dir=folder,
        disk=folder / "disk.qcow2",
        kernel=folder / "vmlinux",
        initrd=folder / "initrd.img",
        kernel_args=manifest["kernel_args"],
        kubectl=folder / "kubectl",
        kernel_release=manifest["kernel_release"],
        rootfs_python=PYTHON_VERSION,
        virtual_size=manifest["virtual_size"],
        size=(folder / "disk.qcow2").stat().st_blocks * 512,
    )
