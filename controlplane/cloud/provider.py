"""What a cloud must be able to do for a cluster (k8s.io/cloud-provider, cloud.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Object = Mapping[str, Any]


class CloudProblem(Exception):
    """The cloud refused, or could not be asked. The text goes into events and logs; the caller tries again later."""


@dataclass(frozen=True, slots=True)
class InstanceMetadata:
    """What a machine is. addresses: (type, address) as a Node's status has them, the best first."""

    provider_id: str
    instance_type: str
    zone: str
    region: str
    addresses: tuple[tuple[str, str], ...]


class Instances(Protocol):
    """The machines behind Nodes (InstancesV2). A Node is known by its spec.providerID, before it has one by its name.

    All raise CloudProblem: not knowing is not absence.
    """

    async def exists(self, node: Object) -> bool:
        """Whether there is such a machine, on or off."""

    async def shutdown(self, node: Object) -> bool:
        """Whether the machine is there and turned off."""

    async def metadata(self, node: Object) -> InstanceMetadata:
        """What the machine is. Raises CloudProblem also when there is no such machine."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a node's pods. destination: a CIDR; gateway: an address of the node."""

    destination: str
    gateway: str


class Routes(Protocol):
    """Ways to pods in the network around the machines. All raise CloudProblem."""

    async def list(self) -> Sequence[Route]:
        """Those that were made by `create`."""

    async def create(self, route: Route) -> None:
        """Make it; what is so already is success."""

    async def delete(self, route: Route) -> None:
        """Remove it; what is absent already is success."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """What a Service got. addresses: at which it answers, at most one of each family, in the order of the Service's
    ipFamilies. node: the name of the Node that takes the packets, "" for none that could."""

    addresses: tuple[str, ...]
    node: str


@dataclass(frozen=True, slots=True)
class Host:
    """A Node that a balancer may use. local: whether a ready endpoint of the Service is on it."""

    name: str
    ready: bool
    local: bool = False


class LoadBalancers(Protocol):
    """Addresses of Services of type LoadBalancer. Services are known by their key, `namespace/name`."""

    def adopt(self, services: Sequence[Object]) -> None:
        """Learn who has which address, before anything else is asked: of all Services that there are."""

    def copy(self) -> LoadBalancers:
        """Others that know the same; what they are told is done nowhere."""

    async def get(self, service: Object) -> Balancer | None:
        """What the Service has; None for nothing."""

    async def ensure(self, service: Object, hosts: Sequence[Host]) -> Balancer:
        """Give the Service what it asks for. Again: the same. Raises CloudProblem when no address can be had."""

    async def delete(self, key: str) -> None:
        """Take back what the Service has; nothing is success."""


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


@dataclass(frozen=True, slots=True)
class Cloud:
    """A provider. A part that is None is not offered: its loops do not run."""

    name: str
    instances: Instances
    routes: Routes | None = None
    balancers: LoadBalancers | None = None
    disks: Disks | None = None
