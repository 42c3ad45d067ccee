"""Virtual machines that Vagrant makes and removes; this gives them the lab's identity and then treats them as its own.

Vagrant and this driver meet in names: the network, the storage pool and the domains are called as ``LibvirtDriver``
calls its own, so that all it knows to look at, stop, start and talk to works on Vagrant's machines as well.
"""

from __future__ import annotations

import dataclasses
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import libvirt

from apimachinery.kit.files import write_atomic
from provisioner.drivers.base import CodeArchive, Local, State
from provisioner.drivers.libvirt import LibvirtDriver, explained
from provisioner.errors import LabError
from provisioner.images.seed import render_hosts, render_network
from provisioner.keys import HostKey, host_key, identity_public
from provisioner.shell import UNPACK, File, render_tar
from provisioner.spec import Lab, Machine

#: Seconds for the first login and the restart of sshd on an emulated machine.
_FIRST_LOGIN = 120.0
_PUT_ON = f"umask 022 && {UNPACK} -C / && hostname -F /etc/hostname && systemctl restart ssh"


class VagrantDriver(LibvirtDriver):
    """One lab's machines as ``vagrant up`` makes them. A machine that has no identity yet counts as absent."""

    @property
    def about(self) -> str:
        return f"Vagrant's {super().about}"

    def problems(self) -> list[str]:
        found = super().problems()
        if self._lab.network_v6 is not None:
            # The box's machines have what the network leases them before they have an identity.
            found.append("networkv6: not on machines that Vagrant makes; without it pods have IPv6 through a tunnel")
        return found

    def ensure_network(self) -> bool:
        """The lab's network, which leases every machine its own address: Vagrant looks for a machine in the leases."""
        made = super().ensure_network()
        with explained("network"):
            network = self._network()
            assert network is not None  # it has just been made
            known = read_leases(network.XMLDesc())
            for machine in self._lab.machines:
                if machine.mac not in known:
                    network.update(
                        libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
                        libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST,
                        0,
                        f"<host mac='{machine.mac}' name='{machine.name}' ip='{machine.ip}'/>",
                        libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG,
                    )
        return made

    def ensure_pool(self) -> None:
        """Make the storage pool where Vagrant puts the box's image and the disks on it."""
        with explained("storage pool"):
            self._ensure_pool()

    def ensure_machine(self, machine: Machine, code: CodeArchive | None = None) -> bool:
        if self.state(machine) is not State.ABSENT:
            return False
        domain = self._domain(machine)
        if domain is None:
            raise LabError(f"{machine.name}: Vagrant has not made it", advice="vagrant up makes it.")
        files = render_identity(
            self._lab, machine, identity_public(self._home.ssh), host_key(self._home.ssh, machine.name)
        )
        key = vagrant_key(Path(self._home.vagrant.read_text()), machine.name)
        _first_login(machine, key, _PUT_ON, files)
        write_atomic(self._identified(machine), domain.UUIDString())
        return True

    def local(self, machine: Machine) -> Local:
        return dataclasses.replace(super().local(machine), code_disk="")

    def whereabouts(self, machine: Machine) -> tuple[str, str]:
        return self._domain_name(machine), ""

    def destroy(self, machine: Machine) -> None:
        if self.made(machine):
            raise LabError(f"{machine.name} is Vagrant's", advice="vagrant destroy removes it, and then the lab.")

    def state(self, machine: Machine) -> State:
        domain, mark = self._domain(machine), self._identified(machine)
        if domain is None or not mark.exists() or mark.read_text() != domain.UUIDString():
            return State.ABSENT
        return super().state(machine)

    def made(self, machine: Machine) -> bool:
        """Whether Vagrant has made the machine and not removed it, with or without an identity."""
        return self._domain(machine) is not None

    def _has_disk(self, machine: Machine) -> bool:
        return True  # where it is, is Vagrant's affair

    def _is_own(self, machine: Machine, uuid: str) -> bool:
        return True

    def _identified(self, machine: Machine) -> Path:
        """Holds the UUID of the domain that got its identity: one that Vagrant made anew has another."""
        return self._home.disks / f"{machine.name}.identified"


def read_leases(xml: str) -> dict[str, str]:
    """MAC → address, of a libvirt network's fixed leases."""
    return {host.attrib["mac"]: host.attrib["ip"] for host in ElementTree.fromstring(xml).iter("host")}


def vagrant_key(data: Path, machine: str) -> Path:
    """The private key that Vagrant made for a machine. ``data``: Vagrant's folder of the project (``.vagrant``)."""
    return data / "machines" / machine / "libvirt" / "private_key"


def render_identity(lab: Lab, machine: Machine, ssh_public_key: str, key: HostKey) -> dict[str, File]:
    """What a machine from the box gets of what the lab's own machines have from their seed.

    The machine-id is left as the box's first boot drew it: the journal is under way with it. The lab's key goes into
    the second file that sshd reads, beside Vagrant's own.
    """
    return {
        "/etc/hostname": File(f"{machine.name}\n".encode()),
        "/etc/hosts": File(render_hosts(machine.name, lab.hosts).encode()),
        "/etc/kubelab/network": File(render_network(lab.with_prefix(machine), lab.gateways).encode()),
        "/etc/ssh/ssh_host_ed25519_key": File(key.private, 0o600),
        "/etc/ssh/ssh_host_ed25519_key.pub": File(key.public.encode()),
        "/root/.ssh/authorized_keys2": File(ssh_public_key.encode(), 0o600),
    }


def _first_login(machine: Machine, key: Path, command: str, files: dict[str, File]) -> None:
    """Run ``command`` with Vagrant's key, the files' archive on its standard input. Any host key is taken: the lab's is
    among the files, and the way there is a bridge of this host."""
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
    }
    argv = ["ssh", "-F", "none", "-i", str(key)]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    argv += [f"root@{machine.ip}", command]
    try:
        done = subprocess.run(argv, input=render_tar(files), capture_output=True, timeout=_FIRST_LOGIN, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"{machine.name}: no end of Vagrant's login within {_FIRST_LOGIN:.0f} s") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        raise LabError(f"{machine.name}: login with Vagrant's key {key}: {words}", advice="vagrant up, then try again.")
