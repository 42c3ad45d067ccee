"""What a hypervisor driver can do. One conformance suite (tests/conformance/hypervisor) runs against every driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from provisioner.shell import Shell
from provisioner.spec import Machine

Report = Callable[[str], None]


class State(StrEnum):
    """What a machine is. ABSENT: nothing of it exists; OFF: its disk does; CRASHED: it ended without being asked to."""

    ABSENT = "absent"
    OFF = "off"
    RUNNING = "running"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Local:
    """cgroup_root: the kubelet's ``cgroupRoot``, "" unless machines share one cgroup tree; python: the interpreter
    behind the virtual environment's, which starts faster; code_disk: the name of the block device that held the code
    given to ``ensure_machine``, as a plain tar archive with the digest as its serial number, "" without."""

    cgroup_root: str
    python: str
    code_disk: str = ""


@dataclass(frozen=True, slots=True)
class CodeArchive:
    """What will be installed on a machine first. digest: of at most 20 characters; archive: a ``.tar.gz``."""

    digest: str
    archive: Path


class Driver(Protocol):
    """Makes, starts and removes the machines of one lab. Blocking; safe to use from one thread per machine.

    Every failure that a person can mend is a ``LabError``. Nothing of other labs, or not made by kubelab, is touched.
    """

    @property
    def about(self) -> str:
        """One sentence for people: what machines are made of and how fast that is."""

    def problems(self) -> list[str]:
        """What keeps the lab from being made on this host, every reason. Changes nothing."""

    def prepare(self, report: Report) -> str:
        """Make or find the images that machines start from; returns their digest. Minutes when nothing is cached."""

    def ensure_network(self) -> bool:
        """Make the lab's network if it is missing. True when it was made or started."""

    def ensure_machine(self, machine: Machine, code: CodeArchive | None = None) -> bool:
        """Make the machine, turned off, if it is missing. True when it was made: what was on it before is gone.

        A driver may lay ``code`` beside the machine, from where installing it is cheaper than through the shell.
        """

    def start(self, machine: Machine) -> bool:
        """Turn it on if it is off. True when it was off. Returns before the machine can be talked to."""

    def connect(self, machine: Machine, timeout: float, stop: Callable[[], bool] = lambda: False) -> Shell:
        """A root shell on a running machine, waiting up to ``timeout`` seconds for it to answer.

        Raises ``ShellError``: no answer in time, it crashed, or ``stop()`` became true.
        """

    def halt(self, machine: Machine, timeout: float = 60.0) -> None:
        """Shut it down as its own ``poweroff`` would; after ``timeout`` seconds pull the plug."""

    def power_off(self, machine: Machine) -> None:
        """Pull the plug. Nothing on the machine hears of it."""

    def destroy(self, machine: Machine) -> None:
        """Remove the machine and its disk. Nothing happens when it is absent."""

    def destroy_network(self) -> None:
        """Remove the network and everything else that ``ensure_network`` and ``prepare`` made for this lab alone."""

    def state(self, machine: Machine) -> State:
        """What the machine is now."""

    def local(self, machine: Machine) -> Local:
        """What differs between drivers in a machine's files."""

    def whereabouts(self, machine: Machine) -> tuple[str, str]:
        """By what others find the machine: (its folder or its domain's name, the domain's UUID or "" for any)."""

    def console_tail(self, machine: Machine, lines: int = 20) -> Sequence[str]:
        """The last lines that the machine wrote to its console; empty when it never ran."""
