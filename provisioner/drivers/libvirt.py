"""Virtual machines through libvirt: a NAT network, a storage pool, a domain with a copy-on-write disk per machine."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import libvirt

from provisioner.drivers import libvirtd
from provisioner.drivers.base import CodeArchive, Local, Report, State
from provisioner.drivers.hostfacts import check_host, closed_to_others, read_facts
from provisioner.drivers.lab_disks import remove_pool
from provisioner.drivers.tsc import kernel_argument
from provisioner.errors import LabError
from provisioner.home import LabHome
from provisioner.images import GuestImage, build_seed, ensure_guest_image
from provisioner.images.seed import pad
from provisioner.keys import host_key, identity_public, machine_id
from provisioner.rendering import render
from provisioner.shell import Shell, ShellError
from provisioner.spec import MIB, Lab, Machine
from provisioner.ssh import SshShell

#: What a machine's disk takes of the host when the lab has just become ready (measured: 150-350 MiB).
_FIRST_USE = 512 * MIB
_FOREIGN = "exists that this lab did not make: was its folder deleted? kubelab destroy --file LABFILE removes it"
_PANIC = b"Kernel panic"
#: What firmware and systemd write to colour and clear a terminal (ECMA-48), which would do so to a person's.
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[@-_a-z])")
#: For emulated guests' kernels. The emulator keeps what it has translated by address: with every program where it was
#: the last time, a process costs a sixth to start. A lab that needs the randomization needs KVM.
_FIXED_ADDRESSES = " norandmaps"
#: A node forwards, also before its first pod has come: node ports. And machines have their addresses and routes from
#: their seed; the network's dnsmasq would have each make itself another. Said to the kernel, as the interface is there
#: before any program of ours.
_OF_IPV6 = " sysctl.net.ipv6.conf.all.forwarding=1 sysctl.net.ipv6.conf.default.accept_ra=0"
_NAMESPACE = uuid.UUID("9f0c3c6e-5f57-4c7c-8a55-2f5d3b8a0d11")


class LibvirtDriver:
    """One lab's machines in qemu:///system. All its objects are called ``kubelab-LAB`` or ``kubelab-LAB-MACHINE``."""

    def __init__(self, lab: Lab, home: LabHome) -> None:
        self._lab, self._home = lab, home
        self._name = f"kubelab-{lab.name}"
        # An interface name holds 15 characters.
        self._bridge = f"kl-{lab.name}" if len(lab.name) <= 12 else f"kl-{_short(lab.name)}"
        self._guest: GuestImage | None = None
        # Machines are made and destroyed at once; libvirt refuses to start or refresh a pool while it is at work.
        self._using_pool = threading.Lock()

    @cached_property
    def _kvm(self) -> bool:
        return libvirtd.can_accelerate()

    @property
    def about(self) -> str:
        if self._kvm:
            return "libvirt virtual machines with hardware virtualization (KVM)"
        return (
            "libvirt virtual machines, emulated (TCG): this host has no usable KVM, so all takes some ten times as long"
        )

    def problems(self) -> list[str]:
        machines = [machine for machine in self._lab.machines if self.state(machine) is State.ABSENT]
        facts = read_facts(self._home.home)
        found = check_host(self._lab, facts, own_device=self._bridge, new_disk=_FIRST_USE * len(machines))
        if closed := closed_to_others(self._home.disks):
            found.append(
                f"KUBELAB_HOME: {closed} is closed to other users, and QEMU runs as one: it cannot reach the disks"
            )
        with explained("libvirt"):
            for machine in self._lab.machines:
                domain = self._domain(machine)
                if domain is not None and not self._is_own(machine, domain.UUIDString()):
                    found.append(f"name: a domain {self._domain_name(machine)} {_FOREIGN}")
            network = self._network()
            if network is not None and network.UUIDString() != self._uuid("network"):
                found.append(f"name: a libvirt network {self._name} {_FOREIGN}")
        return found

    def prepare(self, report: Report) -> str:
        self._guest = ensure_guest_image(self._home.home, report)
        self._home.kubectl.unlink(missing_ok=True)
        self._home.kubectl.symlink_to(self._guest.kubectl)
        return self._guest.digest

    def ensure_network(self) -> bool:
        with explained("network"):
            network = self._network() or self._connection.networkDefineXML(
                render(
                    "network.xml.j2", name=self._name, uuid=self._uuid("network"), lab=self._lab, bridge=self._bridge
                )
            )
            if network.isActive():
                return False
            network.create()
            return True

    def ensure_machine(self, machine: Machine, code: CodeArchive | None = None) -> bool:
        if self.state(machine) is not State.ABSENT:
            return False
        guest = self._guest
        if guest is None:
            raise RuntimeError("prepare() comes before ensure_machine()")
        if self._domain(machine) is not None:
            self.destroy(machine)  # without its disk: the lab's folder was deleted by hand
        seed = self._home.disks / f"{machine.name}.seed"
        key = host_key(self._home.ssh, machine.name)
        build_seed(
            seed,
            hostname=machine.name,
            addresses=self._lab.with_prefix(machine),
            gateways=self._lab.gateways,
            dns=[self._lab.gateway],
            ssh_public_key=identity_public(self._home.ssh),
            host_keys={"ssh_host_ed25519_key": key.private, "ssh_host_ed25519_key.pub": key.public},
            machine_id=machine_id(self._home.ssh, machine.name),
            hosts=self._lab.hosts,
        )
        # Read by the machine's emulated processor as it is: nothing to decrypt, nothing to inflate.
        code_disk = self._home.disks / f"{machine.name}.code"
        if code is not None:
            code_disk.write_bytes(pad(gzip.decompress(code.archive.read_bytes())))
        with explained(machine.name):
            # A disk without its domain is what a broken-off run left: of unknown content.
            self._remove_volume(machine)
            capacity = max(machine.size.disk, guest.virtual_size)
            volume = render("volume.xml.j2", name=f"{machine.name}.qcow2", capacity=capacity, backing=str(guest.disk))
            with self._using_pool:
                disk = self._ensure_pool().createXML(volume).path()
            self._home.console(machine.name).unlink(missing_ok=True)
            self._connection.defineXML(
                render(
                    "domain.xml.j2",
                    name=self._domain_name(machine),
                    uuid=self._uuid(machine.name),
                    lab=self._lab,
                    machine=machine,
                    kvm=self._kvm,
                    kernel=str(guest.kernel),
                    initrd=str(guest.initrd),
                    cmdline=guest.kernel_args
                    + ("" if self._kvm else _FIXED_ADDRESSES + kernel_argument())
                    + (_OF_IPV6 if self._lab.network_v6 else ""),
                    disk=disk,
                    seed=str(seed),
                    code=code,
                    code_disk=str(code_disk),
                    network=self._name,
                    console=str(self._home.console(machine.name)),
                )
            )
        return True

    def start(self, machine: Machine) -> bool:
        with explained(machine.name):
            domain = self._existing(machine)
            if domain.isActive():
                return False
            domain.create()
            return True

    def connect(self, machine: Machine, timeout: float, stop: Callable[[], bool] = lambda: False) -> Shell:
        console = self._home.console(machine.name)
        before = _count(console, _PANIC)

        def alive() -> str | None:
            if _count(console, _PANIC) > before:
                return "its kernel panicked while booting"
            if (state := self.state(machine)) is not State.RUNNING:
                return f"it is {state} instead of running"
            return None

        shell = SshShell(machine, self._home.ssh, stop=stop)
        try:
            shell.wait(timeout, alive)
        except ShellError as error:
            raise ShellError(str(error), advice=f"The whole console: {console}") from error
        return shell

    def halt(self, machine: Machine, timeout: float = 60.0) -> None:
        domain = self._domain(machine)
        with explained(machine.name):
            if domain is None or not domain.isActive():
                return
        shell = SshShell(machine, self._home.ssh)
        try:
            # Through SSH, because the guest image has no logind to hear of the ACPI button. The answer may get lost.
            shell.run("systemctl poweroff --no-block", timeout=20.0, check=False)
        except LabError:
            with explained(machine.name):
                domain.shutdown()
        finally:
            shell.close()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.state(machine) is not State.RUNNING:
                return
            time.sleep(0.2)
        self.power_off(machine)

    def power_off(self, machine: Machine) -> None:
        domain = self._domain(machine)
        with explained(machine.name):
            if domain is None or not domain.isActive():
                return
            try:
                domain.destroy()
            except libvirt.libvirtError as error:
                # It may have ended by itself in between.
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                    raise

    def destroy(self, machine: Machine) -> None:
        self.power_off(machine)
        domain = self._domain(machine)
        with explained(machine.name):
            if domain is not None:
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
            self._remove_volume(machine)
        for path in self._home.disks.glob(f"{machine.name}.*"):
            path.unlink()

    def destroy_network(self) -> None:
        with explained("network"):
            network = self._network()
            if network is not None:
                if network.isActive():
                    network.destroy()
                network.undefine()
            pool = self._pool()
            if pool is not None:
                if pool.isActive():
                    pool.destroy()
                pool.undefine()
            remove_pool(self._connection, self._lab.name)

    def state(self, machine: Machine) -> State:
        domain = self._domain(machine)
        if domain is None or not self._has_disk(machine):
            return State.ABSENT
        with explained(machine.name):
            state, reason = domain.state()
        if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN):
            return State.RUNNING
        crashed = state == libvirt.VIR_DOMAIN_CRASHED or (
            state == libvirt.VIR_DOMAIN_SHUTOFF
            and reason in (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED)
        )
        return State.CRASHED if crashed else State.OFF

    def local(self, machine: Machine) -> Local:
        return Local(cgroup_root="", python="/usr/bin/python3", code_disk="vdc")

    def whereabouts(self, machine: Machine) -> tuple[str, str]:
        return self._domain_name(machine), self._uuid(machine.name)

    def console_tail(self, machine: Machine, lines: int = 20) -> Sequence[str]:
        try:
            data = self._home.console(machine.name).read_bytes()
        except OSError:
            return []
        text = _ESCAPES.sub("", data[-64 * 1024 :].decode(errors="replace").replace("\r", ""))
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]

    @property
    def _connection(self) -> Any:
        return libvirtd.connect()

    def _has_disk(self, machine: Machine) -> bool:
        return (self._home.disks / f"{machine.name}.qcow2").exists()

    def _is_own(self, machine: Machine, uuid: str) -> bool:
        """Whether a domain with the machine's name is the machine."""
        return uuid == self._uuid(machine.name)

    def _uuid(self, what: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self._home.root}/{what}"))

    def _domain_name(self, machine: Machine) -> str:
        return f"{self._name}-{machine.name}"

    def _domain(self, machine: Machine) -> Any | None:
        return _found(self._connection.lookupByName, self._domain_name(machine), libvirt.VIR_ERR_NO_DOMAIN)

    def _network(self) -> Any | None:
        return _found(self._connection.networkLookupByName, self._name, libvirt.VIR_ERR_NO_NETWORK)

    def _pool(self) -> Any | None:
        return _found(self._connection.storagePoolLookupByName, self._name, libvirt.VIR_ERR_NO_STORAGE_POOL)

    def _existing(self, machine: Machine) -> Any:
        domain = self._domain(machine)
        if domain is None:
            raise LabError(f"{machine.name}: there is no such machine", advice="kubelab up makes it.")
        return domain

    def _ensure_pool(self) -> Any:
        pool = self._pool() or self._connection.storagePoolDefineXML(
            render("pool.xml.j2", name=self._name, path=str(self._home.disks))
        )
        if not pool.isActive():
            pool.create()
        return pool

    def _remove_volume(self, machine: Machine) -> None:
        if self._pool() is None or not self._home.disks.is_dir():
            return
        with self._using_pool:
            pool = self._ensure_pool()
            pool.refresh()
            volume = _found(pool.storageVolLookupByName, f"{machine.name}.qcow2", libvirt.VIR_ERR_NO_STORAGE_VOL)
            if volume is not None:
                volume.delete()


class explained:
    """libvirt's exceptions as ``LabError``, with what was being worked on in front."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, libvirt.libvirtError):
            advice = "kubelab doctor says what this host lacks."
            if "already in use" in str(error):
                advice = "Choose another network in the lab file."
            raise LabError(f"{self._what}: libvirt: {error}", advice=advice) from error


def _found(lookup: Callable[[str], Any], name: str, absent: int) -> Any | None:
    try:
        return lookup(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == absent:
            return None
        raise LabError(f"libvirt: {name}: {error}") from error


def _count(path: Any, word: bytes) -> int:
    try:
        data: bytes = path.read_bytes()
    except OSError:
        return 0
    return data.count(word)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
