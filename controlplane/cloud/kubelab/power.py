"""Is a machine there, and is it on: asked of what it is made of."""

from __future__ import annotations

import asyncio
import json
import threading
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from apimachinery.kit.started import started_at
from controlplane.cloud.kubelab.lab import MachineSpec
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
    """Virtual machines: a domain each. Connected when first needed, and again when libvirtd was restarted."""

    def __init__(self, uri: str = "qemu:///system") -> None:
        self._uri = uri
        self._connection: Any = None
        self._lock = threading.Lock()

    async def power(self, machine: MachineSpec) -> Power:
        return await asyncio.to_thread(self._power, machine)

    def _power(self, machine: MachineSpec) -> Power:
        import libvirt  # a tenth of a second, and not there where machines are namespaces

        with self._lock:
            try:
                domain = self._connected(libvirt).lookupByName(machine.where)
                if machine.uuid and domain.UUIDString() != machine.uuid:
                    return Power.ABSENT  # another's machine that has its name
                state = domain.state()[0]
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return Power.ABSENT
                self._connection = None
                raise CloudProblem(f"{machine.name}: libvirt: {error}") from error
        off = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PMSUSPENDED)
        return Power.OFF if state in off else Power.ON

    def _connected(self, libvirt: Any) -> Any:
        if self._connection is None:
            # Errors arrive as exceptions; the library would print each on stderr as well.
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            self._connection = libvirt.open(self._uri)
        return self._connection


def make_hypervisor(driver: str) -> Hypervisor:
    """By the name in the cloud configuration."""
    return Namespaces() if driver == "netns" else Libvirt()
