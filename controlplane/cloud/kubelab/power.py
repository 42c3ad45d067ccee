"""Is a machine there, and is it on: asked of what it is made of."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from apimachinery.kit.started import started_at
from controlplane.cloud.kubelab.lab import MachineSpec
from controlplane.cloud.kubelab.libvirtd import URI, Libvirtd, LibvirtProblem
from controlplane.cloud.provider import CloudProblem


class Power(StrEnum):
    """What a machine is."""

    ABSENT = "absent"
    OFF = "off"
    ON = "on"


class Hypervisor(Protocol):
    """What machines are made of."""

    async def power(self, machine: MachineSpec) -> Power:
        """Raises CloudProblem when that cannot be told."""


class Namespaces:
    """Machines of the netns driver: a folder each, with the mark `made`, and `process.json` while they run."""

    async def power(self, machine: MachineSpec) -> Power:
        folder = Path(machine.where)
        try:
            if not (folder / "made").exists():
                return Power.ABSENT
            record = json.loads((folder / "process.json").read_text())
            on = started_at(int(record["pid"])) == record["started"]
        except FileNotFoundError:
            return Power.OFF
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CloudProblem(f"{machine.name}: {folder}: {type(error).__name__}: {error}") from error
        return Power.ON if on else Power.OFF


class Libvirt:
    """Virtual machines: a domain each."""

    def __init__(self, uri: str = URI) -> None:
        self._libvirtd = Libvirtd(uri)

    async def power(self, machine: MachineSpec) -> Power:
        try:
            return await self._libvirtd.call(lambda libvirt: self._power(libvirt, machine))
        except LibvirtProblem as error:
            raise CloudProblem(f"{machine.name}: {error}") from error

    def _power(self, libvirt: Any, machine: MachineSpec) -> Power:
        try:
            domain = self._libvirtd.connection.lookupByName(machine.where)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return Power.ABSENT
            raise
        if machine.uuid and domain.UUIDString() != machine.uuid:
            return Power.ABSENT  # another's machine that has its name
        off = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PMSUSPENDED)
        return Power.OFF if domain.state()[0] in off else Power.ON


def make_hypervisor(driver: str) -> Hypervisor:
    """By the name in the cloud configuration."""
    return Namespaces() if driver == "netns" else Libvirt()
