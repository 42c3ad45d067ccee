"""A cloud that is asked as the real one, and told to do nothing: what would be done is noted in the rehearsal.

What the real parts would refuse only while they do it (a disk that is too small, a route that is another's) is not
known before.
"""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.client.rehearsal import rehearsal
from controlplane.cloud.provider import Cloud, DiskInUse, Disks, Route, Routes


def imagine(cloud: Cloud) -> Cloud:
    """The same cloud as a rehearsal may use it."""
    return Cloud(
        cloud.name,
        cloud.instances,  # is only read
        _Routes(cloud.routes) if cloud.routes is not None else None,
        cloud.balancers.copy() if cloud.balancers is not None else None,
        _Disks(cloud.disks) if cloud.disks is not None else None,
    )


def _would(do: str) -> None:
    tried = rehearsal()
    if tried is None:
        raise RuntimeError(f"nobody rehearses: {do}")
    tried.act(do)


class _Routes:
    """See Routes."""

    def __init__(self, real: Routes) -> None:
        self._real = real

    async def list(self) -> Sequence[Route]:
        return await self._real.list()

    async def create(self, route: Route) -> None:
        _would(f"add the route to {route.destination} via {route.gateway}")

    async def delete(self, route: Route) -> None:
        _would(f"delete the route to {route.destination} via {route.gateway}")


class _Disks:
    """See Disks. A disk that is made is taken for as large as asked, and one that grows for smaller than asked."""

    def __init__(self, real: Disks) -> None:
        self._real = real

    async def create(self, disk: str, size: int) -> int:
        _would(f"make the disk {disk} of {size} bytes, if it is not there")
        return size

    async def delete(self, disk: str) -> None:
        if holder := (await self._real.attached()).get(disk):
            raise DiskInUse(f"disk {disk} is attached to {holder}")
        _would(f"delete the disk {disk}")

    async def attach(self, disk: str, machine: str) -> str:
        holder = (await self._real.attached()).get(disk)
        if holder not in (None, machine):
            raise DiskInUse(f"disk {disk} is attached to {holder}")
        if holder is None:
            _would(f"plug the disk {disk} into {machine}")
        return ""

    async def detach(self, disk: str, machine: str) -> None:
        if (await self._real.attached()).get(disk) == machine:
            _would(f"pull the disk {disk} out of {machine}")

    async def resize(self, disk: str, size: int) -> int:
        _would(f"let the disk {disk} grow to {size} bytes")
        return size

    async def attached(self) -> dict[str, str]:
        return await self._real.attached()
