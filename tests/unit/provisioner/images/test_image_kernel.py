"""Taking the ELF kernel out of a bzImage (Documentation/arch/x86/boot.rst)."""

import struct

import pytest

from provisioner.images.errors import ImageError
from provisioner.images.kernel import extract_vmlinux, payload

ZSTD = b"\x28\xb5\x2f\xfd"
PVH = struct.pack("<III", 4, 4, 18) + b"Xen\0" + b"\0\0\0\1"


def bzimage(packed: bytes, setup_sectors: int = 27) -> bytes:
    header = bytearray((setup_sectors + 1) * 512)
    header[0x1F1] = setup_sectors
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", header, 0x248, 16, len(packed) + 4)
    return bytes(header) + b"\xaa" * 16 + packed + b"SIZE" + b"trailing"


def test_payload_is_found_behind_the_setup_sectors() -> None:
    assert payload(bzimage(ZSTD + b"kernel")) == ZSTD + b"kernel"
    assert payload(bzimage(ZSTD + b"kernel", setup_sectors=5)) == ZSTD + b"kernel"


def test_the_elf_kernel_comes_out() -> None:
    vmlinux = b"\x7fELF...." + PVH
    assert extract_vmlinux(bzimage(ZSTD), lambda data: vmlinux) == vmlinux


@pytest.mark.parametrize(
    ("image", "unpacked", "message"),
    [
        pytest.param(b"\0" * 1024, b"", "no bzImage", id="something else"),
        pytest.param(bzimage(b"\xfd7zXZ"), b"", "not compressed with zstd", id="other compression"),
        pytest.param(bzimage(ZSTD), b"junk" + PVH, "no PVH entry", id="no ELF"),
        pytest.param(bzimage(ZSTD), b"\x7fELF", "no PVH entry", id="no PVH note"),
    ],
)
def test_what_cannot_boot_is_refused(image: bytes, unpacked: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        extract_vmlinux(image, lambda data: unpacked)
