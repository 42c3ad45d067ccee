"""What a host lacks for a lab, and the command that mends it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provisioner.drivers.hostfacts import closed_to_others, read_facts
from provisioner.drivers.netns_programs import PACKAGES, find_program
from provisioner.errors import LabError

_GIB = 1024**3

#: Program → the Debian package that has it, and what it is for.
_PROGRAMS = {
    "qemu-system-x86_64": ("qemu-system-x86", "runs the machines"),
    "qemu-img": ("qemu-utils", "makes their disks"),
    "libvirtd": ("libvirt-daemon-system", "keeps the machines"),
    "dnsmasq": ("dnsmasq-base", "gives them names"),
    "iptables": ("iptables", "connects them to the outside"),
    "ssh": ("openssh-client", "is what kubelab ssh runs"),
    "mmdebstrap": ("mmdebstrap", "builds the guest image"),
    "mke2fs": ("e2fsprogs", "builds the guest image"),
    "syslinux": ("syslinux", "makes the guest image boot by itself"),
    "mcopy": ("mtools", "makes the guest image boot by itself"),
}
#: Those of the netns driver alone.
_NETNS_PROGRAMS = {
    program: (package, "is needed by the netns driver alone")
    for program, package in PACKAGES.items()
    if program not in _PROGRAMS
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. required: a libvirt lab cannot be made without it."""

    what: str
    ok: bool
    finding: str
    advice: str = ""
    required: bool = True


def examine(home: Path) -> list[Check]:
    """Look at everything; never raises, never changes anything but starting libvirtd."""
    checks = [_root(), *_programs(_PROGRAMS, required=True), *_programs(_NETNS_PROGRAMS, required=False)]
    facts = read_facts(home)
    checks.append(
        Check("memory", facts.memory >= 5 * _GIB, f"{facts.memory / _GIB:.1f} GiB", "The default lab takes 4.5 GiB.")
    )
    checks.append(
        Check(
            "disk", facts.free_disk >= 8 * _GIB, f"{facts.free_disk / _GIB:.0f} GiB free at {home}",
            "Images and disks take 4 to 8 GiB: free some, or set KUBELAB_HOME.",
        )
    )  # fmt: skip
    closed = closed_to_others(home / "labs")
    checks.append(
        Check("KUBELAB_HOME", closed is None, str(home), f"QEMU cannot pass through {closed}: chmod o+x {closed}")
    )
    return [*checks, *_libvirt()]


def _root() -> Check:
    return Check("permission", os.geteuid() == 0, f"user id {os.geteuid()}", "Run kubelab as root.")


def _programs(wanted: dict[str, tuple[str, str]], *, required: bool) -> list[Check]:
    checks = []
    for program, (package, use) in wanted.items():
        found = find_program(program)
        advice = f"It {use}: apt-get install -y --no-install-recommends {package}"
        checks.append(Check(program, found is not None, found or "not found", advice, required))
    return checks


def _libvirt() -> list[Check]:
    try:
        from provisioner.drivers import libvirtd
    except ImportError as error:
        return [Check("libvirt-python", False, str(error), "make setup")]
    accelerated = libvirtd.can_accelerate()
    finding = "hardware virtualization (KVM)" if accelerated else "none: machines are emulated, some ten times slower"
    speed = Check("acceleration", True, finding, required=False)
    try:
        connection = libvirtd.connect()
    except LabError as error:
        return [speed, Check("libvirt", False, " ".join(str(error).split()), error.advice)]
    return [speed, Check("libvirt", True, f"answers, version {connection.getLibVersion()}")]
