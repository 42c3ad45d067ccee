"""The cloud configuration (`--cloud-config`): what the provisioner says of a lab's machines. It writes the file anew
when the lab grows, so it is read again whenever it has changed."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.cloud.provider import CloudProblem

SCHEME = "kubelab"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One machine. where: of netns machines their folder, of virtual ones the name of their domain. uuid: the domain's,
    "" when any will do."""

    name: str
    address: str
    zone: str
    instance_type: str
    where: str
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A lab. driver: "netns" or "libvirt". pool: the first and the last address of balancers; None for none.

    network: of the machines. pods: the networks that the nodes' pod subnets are of.
    """

    name: str
    driver: str
    region: str
    network: ipaddress.IPv4Network
    pods: tuple[str, ...]
    machines: Mapping[str, MachineSpec]
    pool: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None = None

    def provider_id(self, machine: str) -> str:
        """`kubelab://LAB/MACHINE`: unique among the labs of a host."""
        return f"{SCHEME}://{self.name}/{machine}"


def parse_lab(text: str) -> LabSpec:
    """Raises ValueError, KeyError or TypeError for what the provisioner did not write."""
    plain = json.loads(text)
    pool = plain.get("loadBalancers")
    return LabSpec(
        name=str(plain["name"]),
        driver=str(plain["driver"]),
        region=str(plain["region"]),
        network=ipaddress.IPv4Network(plain["network"]),
        pods=tuple(str(ipaddress.ip_network(each)) for each in plain["pods"]),
        machines={each["name"]: MachineSpec(**each) for each in plain["machines"]},
        pool=(ipaddress.IPv4Address(pool[0]), ipaddress.IPv4Address(pool[1])) if pool else None,
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
