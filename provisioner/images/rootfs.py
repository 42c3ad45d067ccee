"""Debian trees by mmdebstrap, as root but without a container engine: configured ones (the guest) and extracted
ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner.images.mirror import RELEASE, archive_keyring, guest_sources, host_apt_options
from provisioner.images.tools import require_tools, run_tool

#: Left out of every tree; licences stay, as Debian's copyright files must travel with the programs.
_EXCLUDED = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/lib/udev/hwdb.d/*",
    "path-exclude=/usr/lib/udev/hwdb.bin",
)


def bootstrap(target: Path, packages: Sequence[str], *, variant: str, kernel: str | None = None) -> None:
    """Make ``target`` a Debian tree with ``packages``.

    ``variant`` is mmdebstrap's: ``minbase`` configures every package (maintainer scripts run in a chroot), ``extract``
    only unpacks them with their dependencies. ``kernel`` names a meta package (``linux-image-cloud-amd64``) whose
    current kernel is unpacked without being configured: no bootloader, no initramfs-tools.
    Raises ``ImageError`` when a tool is missing, the mirror does not answer or the disk is full.
    """
    require_tools("mmdebstrap", "apt-get", "dpkg-deb")
    command: list[str | Path] = ["mmdebstrap", "--mode=root", f"--variant={variant}", "--format=directory"]
    command += [f"--keyring={archive_keyring(target.parent)}", f"--include={','.join(packages)}"]
    command += [f"--aptopt={line}" for line in ('APT::Install-Recommends "false";', *host_apt_options())]
    if variant != "extract":
        command += [f"--dpkgopt={line}" for line in _EXCLUDED]
    if kernel is not None:
        command.append(f"--customize-hook={_KERNEL_HOOK.replace('KERNEL', kernel)}")
    run_tool(*command, RELEASE, target, *guest_sources())
    for leftover in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"):
        (target / leftover).unlink(missing_ok=True)
    if variant == "extract":
        for folder in ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian",
                       "var/lib/dpkg", "var/cache", "var/lib/apt", "etc/apt"):  # fmt: skip
            shutil.rmtree(target / folder, ignore_errors=True)


#: Runs after the packages are configured, with the new tree as ``$1`` and apt's configuration for it in the
#: environment.
_KERNEL_HOOK = """
set -e
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
kernel=$(apt-cache depends KERNEL | sed -n 's/^ *Depends: \\(linux-image-.*\\)$/\\1/p' | head -n 1)
mkdir "$1/kernel.tmp"
cd "$1/kernel.tmp"
apt-get download -q -o APT::Sandbox::User=root "$kernel"
dpkg-deb -x ./*.deb "$1/kernel.tmp"
mv boot/vmlinuz-* boot/config-* "$1/boot/"
if [ -d usr/lib/modules ]; then modules=usr/lib/modules; else modules=lib/modules; fi
mkdir -p "$1/usr/lib/modules"
mv "$modules"/* "$1/usr/lib/modules/"
cd /
rm -r "$1/kernel.tmp"
# Compressed modules cost an emulated CPU dearly; the image's own compression is undone by the host.
find "$1/usr/lib/modules" -name '*.ko.xz' -exec "$1/usr/bin/busybox" unxz {} +
chroot "$1" depmod "$(ls "$1/usr/lib/modules")"
"""
