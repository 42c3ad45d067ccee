"""What every step is given: the lab, where its things are, the driver, and a shell on each machine."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from provisioner.drivers import Driver
from provisioner.home import LabHome
from provisioner.journal import Journal
from provisioner.shell import Shell
from provisioner.spec import Lab, Machine


class Notes(Protocol):
    """Where a step tells people something that is not its success: shown at once, and kept in the report."""

    def note(self, scope: str, text: str) -> None: ...

    def detail(self, scope: str, text: str) -> None:
        """What it is doing just now; replaces the last detail of the scope."""


@dataclass
class Context:
    """One run on one lab. source: the checkout, whose packages go to the machines."""

    lab: Lab
    home: LabHome
    driver: Driver
    source: Path
    journal: Journal
    notes: Notes
    stop: threading.Event = field(default_factory=threading.Event)
    _shells: dict[str, Shell] = field(default_factory=dict)

    def shell(self, machine: Machine, timeout: float = 30.0) -> Shell:
        """The machine's one shell of this run; made when first asked for. Raises ``ShellError``."""
        shell = self._shells.get(machine.name)
        if shell is None:
            shell = self._shells[machine.name] = self.driver.connect(machine, timeout, self.stop.is_set)
        return shell

    def forget_shell(self, machine: Machine) -> None:
        """The machine is another one, or was restarted."""
        shell = self._shells.pop(machine.name, None)
        if shell is not None:
            shell.close()

    def close(self) -> None:
        for shell in self._shells.values():
            shell.close()
        self._shells.clear()
