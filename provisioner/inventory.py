"""The inventory for testinfra and Ansible, and the ssh configuration: how other tools reach the machines."""

from __future__ import annotations

from apimachinery.kit.files import write_atomic
from provisioner.home import LabHome
from provisioner.keys import IDENTITY
from provisioner.spec import Driver, Lab


def render_inventory(lab: Lab, home: LabHome) -> str:
    """INI, groups ``masters`` and ``workers``, as Ansible reads it."""
    lines = []
    for group, masters in (("masters", True), ("workers", False)):
        lines.append(f"[{group}]")
        for machine in lab.machines:
            if machine.is_master is masters:
                how = "ansible_connection=local" if lab.driver is Driver.NETNS else f"ansible_host={machine.ip}"
                lines.append(f"{machine.name} {how}")
        lines.append("")
    if lab.driver is not Driver.NETNS:
        lines += [
            "[all:vars]",
            "ansible_user=root",
            f"ansible_ssh_private_key_file={home.ssh / IDENTITY}",
            f"ansible_ssh_common_args=-F {home.ssh / 'config'}",
            "ansible_python_interpreter=/usr/bin/python3",
            "",
        ]
    return "\n".join(lines)


def render_ssh_config(lab: Lab, home: LabHome) -> str:
    """``ssh -F FILE worker-1``: the lab's key, the pinned host keys, one shared connection per machine."""
    lines = []
    for machine in lab.machines:
        lines += [f"Host {machine.name} {machine.ip}", f"    HostName {machine.ip}", f"    HostKeyAlias {machine.name}"]
    lines += [
        "Host *",
        "    User root",
        f"    IdentityFile {home.ssh / IDENTITY}",
        "    IdentitiesOnly yes",
        f"    UserKnownHostsFile {home.ssh / 'known_hosts'}",
        "    StrictHostKeyChecking yes",
        "    ServerAliveInterval 15",
        "    ControlMaster auto",
        # %C is a short hash: a path with the machine's name may be too long for a unix socket.
        "    ControlPath /tmp/.kubelab-ssh-%C",
        "    ControlPersist 60",
        "    LogLevel ERROR",
        "",
    ]
    return "\n".join(lines)


def write_inventory(lab: Lab, home: LabHome) -> None:
    write_atomic(home.inventory, render_inventory(lab, home))
    if lab.driver is not Driver.NETNS:
        write_atomic(home.ssh / "config", render_ssh_config(lab, home))
