"""The libvirt daemon: reached, or started where nothing runs it, and what this host can accelerate."""

from __future__ import annotations

import contextlib
import grp
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import libvirt

from provisioner.errors import LabError

KVM = Path("/dev/kvm")
URI = "qemu:///system"
_START_DEADLINE = 20.0
_INSTALL = (
    "Install it: apt-get install -y --no-install-recommends libvirt-daemon-system libvirt-clients "
    "libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils dnsmasq-base"
)


_lock = threading.Lock()
_open: Any = None


def connect() -> Any:
    """The one connection of this process (thread-safe), made again when libvirtd was restarted.

    Starts virtlogd and libvirtd when no init system has. Raises ``LabError`` when libvirt is not installed, may not be
    used, or does not come up.
    """
    global _open
    with _lock:
        if _open is None or not _answers(_open):
            _open = _connect()
        return _open


def _answers(connection: Any) -> bool:
    """isAlive() alone would need an event loop to notice that libvirtd was killed; a call takes a tenth of a ms."""
    try:
        return bool(connection.isAlive() and connection.getLibVersion())
    except libvirt.libvirtError:
        return False


def _connect() -> Any:
    # Errors arrive as exceptions; the library would print each on stderr as well.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    first = _try()
    if not isinstance(first, libvirt.libvirtError):
        return first
    if os.geteuid() != 0:
        raise LabError(f"libvirt: {first}", advice="Run as root, or join the group libvirt and start libvirtd.")
    deadline = time.monotonic() + _START_DEADLINE
    while True:
        # Each time: one that was killed may need a moment to be gone.
        for program in ("virtlogd", "libvirtd"):
            _start(program)
        answer = _try()
        if not isinstance(answer, libvirt.libvirtError):
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"libvirtd was started and does not answer: {answer}", advice="See its log: libvirtd -v.")
        time.sleep(0.1)


def _try() -> Any:
    try:
        return libvirt.open(URI)
    except libvirt.libvirtError as error:
        return error


def _start(program: str) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid = int(Path(f"/run/{program}.pid").read_text())
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        # One that was killed is a zombie until init looks.
        if name == program and rest.split()[0] != "Z":
            return
    argv = [program, "-d"]
    if program == "libvirtd":
        _give_kvm_its_group()
    try:
        # Never out of our own terminal's process group: Ctrl-C is for us.
        done = subprocess.run(argv, capture_output=True, timeout=30, start_new_session=True, check=False)
    except FileNotFoundError:
        raise LabError(f"{program} is not installed", advice=_INSTALL) from None
    if done.returncode != 0:
        raise LabError(f"{program} -d: {done.stderr.decode(errors='replace').strip()}", advice="kubelab doctor")


def _give_kvm_its_group() -> None:
    """Do to /dev/kvm what udev's default rule does (group kvm, mode 0660), where no udev has done it.

    Otherwise libvirt, as root, finds KVM, then finds that its QEMU user may not open the device, and so probes QEMU
    again, seconds each, at every look at a domain. The device cannot be hidden instead: libvirt fails to move a mount
    on it into the private /dev of a domain.
    """
    with contextlib.suppress(KeyError, OSError):
        if KVM.stat().st_gid == 0:
            os.chown(KVM, -1, grp.getgrnam("kvm").gr_gid)
            KVM.chmod(0o660)


def can_accelerate(device: Path = KVM, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether KVM runs a stock kernel here: the device opens AND the processor says vmx or svm.

    libvirt's capabilities offer kvm wherever the device exists, also where every guest dies in it.
    """
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
        text = cpuinfo.read_text()
    except OSError:
        return False
    for line in text.splitlines():
        if line.startswith("flags"):
            flags = line.split()
            return "vmx" in flags or "svm" in flags
    return False
