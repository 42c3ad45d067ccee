"""The guest's disk: a directory tree becomes a self-booting qcow2 image without mounting anything.

Layout: MBR (syslinux's), partition 1 FAT with kernel, initrd and syslinux, partition 2 ext4 with the tree. Both boot
ways use the same kernel, initrd and command line; the hypervisor driver prefers direct kernel boot.
"""

from __future__ import annotations

from pathlib import Path

from provisioner.images.errors import ImageError
from provisioner.images.tools import require_tools, run_tool

MIB = 1024**2

#: Virtual size of the image, and the least of a machine's disk; the initrd grows partition and file system to more.
VIRTUAL_SIZE = 4 * 1024 * MIB

#: Bytes before the boot partition, and its size.
BOOT_START, _BOOT_SIZE = 1 * MIB, 48 * MIB
#: syslinux-common's master boot record, on Debian and its relatives.
_MBR_CODE = (Path("/usr/lib/syslinux/mbr/mbr.bin"), Path("/usr/lib/SYSLINUX/mbr.bin"))

_ROOT_START = BOOT_START + _BOOT_SIZE


def render_partition_table(virtual_size: int) -> str:
    """sfdisk(8) input for the two partitions."""
    sectors = [n // 512 for n in (BOOT_START, _BOOT_SIZE, _ROOT_START, virtual_size - _ROOT_START)]
    return (
        "label: dos\nlabel-id: 0x6b756265\nunit: sectors\n"
        f"start={sectors[0]}, size={sectors[1]}, type=e, bootable\n"
        f"start={sectors[2]}, size={sectors[3]}, type=83\n"
    )


def render_syslinux(kernel_args: str) -> str:
    """syslinux.cfg: boot at once, with messages on the serial console."""
    entry = f"LABEL kubelab\n  LINUX vmlinuz\n  INITRD initrd.img\n  APPEND {kernel_args}\n"
    return f"SERIAL 0 115200\nDEFAULT kubelab\nPROMPT 0\n{entry}"


def build_disk(target: Path, tree: Path, kernel: Path, initrd: Path, kernel_args: str, workdir: Path) -> None:
    """Write ``target`` (qcow2, zstd-compressed clusters) from ``tree``. ``workdir`` needs room for the tree once
    more."""
    require_tools("mke2fs", "sfdisk", "mkfs.fat", "mcopy", "syslinux", "qemu-img")
    raw, boot, config = workdir / "disk.raw", workdir / "boot.fat", workdir / "syslinux.cfg"
    mbr = next((path for path in _MBR_CODE if path.is_file()), None)
    if mbr is None:
        raise ImageError("syslinux's mbr.bin is missing: apt-get install syslinux-common")

    with raw.open("wb") as disk:
        disk.truncate(VIRTUAL_SIZE)
    run_tool(
        "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", raw, input=render_partition_table(VIRTUAL_SIZE).encode()
    )

    with boot.open("wb") as part:
        part.truncate(_BOOT_SIZE)
    config.write_text(render_syslinux(kernel_args))
    run_tool("mkfs.fat", "-F", "16", "-n", "BOOT", "-h", str(BOOT_START // 512), boot)
    run_tool("mcopy", "-i", boot, kernel, "::vmlinuz")
    run_tool("mcopy", "-i", boot, initrd, "::initrd.img")
    run_tool("mcopy", "-i", boot, config, "::syslinux.cfg")
    run_tool("syslinux", "--install", boot)

    with raw.open("r+b") as disk:
        disk.write(mbr.read_bytes()[:440])
        disk.seek(BOOT_START)
        disk.write(boot.read_bytes())

    # One inode per 32 KiB suffices for container layers; initialised tables spare the guest a kernel thread at boot.
    run_tool(
        "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", tree, "-m", "0", "-i", "32768", "-J", "size=32",
        "-E", f"offset={_ROOT_START},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,nodiscard",
        raw, f"{(VIRTUAL_SIZE - _ROOT_START) // 1024}k",
    )  # fmt: skip
    pack_qcow2(raw, target)
    for leftover in (raw, boot, config):
        leftover.unlink()


def pack_qcow2(raw: Path, target: Path) -> None:
    """Convert a raw image to qcow2 with zstd-compressed clusters: under half the size, and cheap to read."""
    options = ("-c", "-o", "compression_type=zstd", "-m", "4", "-W")
    run_tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, target)
