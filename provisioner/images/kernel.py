"""The kernel for direct boot: the ELF file inside a compressed bzImage.

The hypervisor enters it directly (PVH, the ELF note XEN_ELFNOTE_PHYS32_ENTRY): the guest does not spend its emulated
CPU on unpacking 11 MB of zstd, about a CPU-second of each boot. The boot loader of the disk keeps using the bzImage.
Source: Linux Documentation/arch/x86/boot.rst ("payload_offset", protocol 2.08).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from provisioner.images.errors import ImageError

_ZSTD = b"\x28\xb5\x2f\xfd"
# The note: its type, then its owner; the entry point follows.
_PVH_NOTE = struct.pack("<I", 18) + b"Xen\0"


def payload(bzimage: bytes) -> bytes:
    """The compressed kernel inside a bzImage, without the four bytes of length that follow it.

    Raises ``ImageError`` when the file is no bzImage or is not compressed with zstd.
    """
    if bzimage[0x202:0x206] != b"HdrS":
        raise ImageError("the kernel package's vmlinuz is no bzImage")
    sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (sectors + 1) * 512 + offset
    packed = bzimage[start : start + length - 4]
    if not packed.startswith(_ZSTD):
        raise ImageError("the kernel is not compressed with zstd: provisioner/images/kernel.py must learn its format")
    return packed


def extract_vmlinux(bzimage: bytes, unzstd: Callable[[bytes], bytes]) -> bytes:
    """The ELF kernel, which must have a PVH entry point. Raises ``ImageError`` otherwise."""
    vmlinux = unzstd(payload(bzimage))
    if not vmlinux.startswith(b"\x7fELF") or _PVH_NOTE not in vmlinux:
        raise ImageError("the kernel has no PVH entry point: it cannot be booted directly as an ELF file")
    return vmlinux
