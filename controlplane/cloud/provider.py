"""What a cloud must be able to do for a cluster (k8s.io/cloud-provider, cloud.go). One conformance suite for each part."""

from __future__ import annotations

from typing import Protocol


class DiskProblem(Exception):
    """The hypervisor refused. The text goes into events and conditions; the caller tries again later."""


class DiskNotFound(DiskProblem):
    """There is no such disk, or no such machine."""


class DiskInUse(DiskProblem):
    """The disk is attached to a machine: to another one than asked for, or at all when it is to be deleted."""


class Disks(Protocol):
    """Block devices that are plugged into running machines and pulled out again, of one lab.

    A disk has an id of at most 20 characters ([a-z0-9-]), which the machine reads back as the device's serial number
    (VIRTIO_BLK_ID_BYTES). Every call may be repeated: what is so already is success. All raise DiskProblem.
    """

    async def create(self, disk: str, size: int) -> int:
        """Make an empty disk of `size` bytes; returns its size, which may be larger. One that is there stays as it is.

        Raises DiskProblem when the one that is there is smaller.
        """

    async def delete(self, disk: str) -> None:
        """Remove the disk and what is on it. Raises DiskInUse while it is attached."""

    async def attach(self, disk: str, machine: str) -> str:
        """Plug the disk into a running machine; returns the device's path there, "" when only its serial number tells.

        machine: the name of the Node. Raises DiskNotFound, and DiskInUse when another machine has it.
        """

    async def detach(self, disk: str, machine: str) -> None:
        """Pull the disk out. Returns when the machine cannot write to it any more."""

    async def resize(self, disk: str, size: int) -> int:
        """Make the disk at least `size` bytes large, attached or not; never smaller. Returns its size."""

    async def attached(self) -> dict[str, str]:
        """The machine of each disk that is attached now."""
