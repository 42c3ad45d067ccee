"""The cloud configuration (`--cloud-config`): what the provisioner says of a lab's machines. It writes the file anew
when the lab grows, so it is read again whenever it has changed."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.cloud.provider import CloudProblem

SCHEME = "kubelab"

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses for balancers, of one family: from the first to the last."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, IPAddress)
            and address.version == self.first.version
            and int(self.first) <= int(address) <= int(self.last)
        )

    def __iter__(self) -> Iterator[str]:
        kind = type(self.first)
        return (str(kind(number)) for number in range(int(self.first), int(self.last) + 1))


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One machine. addresses: one of each family, the Node's first in front. where: of netns machines their folder, of
    virtual ones the name of their domain. uuid: the domain's, "" when any will do."""

    name: str
    addresses: tuple[str, ...]
    zone: str
    instance_type: str
    where: str
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A lab. driver: "netns" or "libvirt". pools: of balancers, at most one of each family, by its version.

    networks: of the machines, of each family one. pods: the networks that the nodes' pod subnets are of.
    """

    name: str
    driver: str
    region: str
    networks: tuple[IPNetwork, ...]
    pods: tuple[str, ...]
    machines: Mapping[str, MachineSpec]
    pools: Mapping[int, Pool] = field(default_factory=dict)

    def provider_id(self, machine: str) -> str:
        """`kubelab://LAB/MACHINE`: unique among the labs of a host."""
        return f"{SCHEME}://{self.name}/{machine}"


def parse_lab(text: str) -> LabSpec:
    """Raises ValueError, KeyError or TypeError for what the provisioner did not write."""
    plain = json.loads(text)
    pools = [Pool(*map(ipaddress.ip_address, pair)) for pair in plain.get("loadBalancers") or ()]
    return LabSpec(
        name=str(plain["name"]),
        driver=str(plain["driver"]),
        region=str(plain["region"]),
        networks=tuple(map(ipaddress.ip_network, plain["networks"])),
        pods=tuple(str(ipaddress.ip_network(each)) for each in plain["pods"]),
        machines={
            each["name"]: MachineSpec(**{**each, "addresses": tuple(each["addresses"])}) for each in plain["machines"]
        },
        pools={pool.first.version: pool for pool in pools},
    )


class LabFile:
    """The file, read when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._lab: LabSpec | None = None

    def load(self) -> LabSpec:
        """The lab as it is now. Raises CloudProblem: a file that is gone says nothing about machines."""
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if self._lab is None or seen != self._seen:
                self._lab, self._seen = parse_lab(self.path.read_text()), seen
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CloudProblem(f"{self.path}: {type(error).__name__}: {error}") from error
        return self._lab

    def machine_of(self, node: Mapping[str, Any]) -> MachineSpec | None:
        """The machine of a Node; None for one that the lab does not have. Raises CloudProblem for another cloud's."""
        lab, metadata = self.load(), node.get("metadata") or {}
        given = str((node.get("spec") or {}).get("providerID") or "")
        if not given:
            return lab.machines.get(str(metadata.get("name")))
        scheme, _, rest = given.partition("://")
        owner, _, name = rest.partition("/")
        if scheme != SCHEME:
            raise CloudProblem(f"provider ID {given!r} of node {metadata.get('name')!r} is not {SCHEME}://LAB/MACHINE")
        return lab.machines.get(name) if owner == lab.name else None
