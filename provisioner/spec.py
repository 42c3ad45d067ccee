"""What a lab is: the machines, the networks and how the cluster on them is set up. Frozen; made by ``specfile``."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from enum import StrEnum

Network = ipaddress.IPv4Network

#: Position of the first master and the first worker in the lab's network; .1 is the host.
FIRST_MASTER, FIRST_WORKER = 11, 21
#: Pod addresses per node: one network of this prefix length each, as the controller manager hands them out.
NODE_CIDR_PREFIX = 24
MAX_MASTERS = 1
#: 64 nodes: what the network's address plan, and a host of ordinary size, can hold.
MAX_WORKERS = 64
MIB = 1024 * 1024


class Driver(StrEnum):
    """What machines are made of."""

    LIBVIRT = "libvirt"
    NETNS = "netns"
    VAGRANT = "vagrant"


class ControlPlane(StrEnum):
    """How the control plane runs on a master."""

    STATIC_PODS = "static-pods"
    SERVICE = "service"


class ProxyMode(StrEnum):
    IPTABLES = "iptables"
    NFTABLES = "nftables"


class PodNetwork(StrEnum):
    """By way of what pods reach those of other machines: nodeagent/routes."""

    AUTO = "auto"
    HOST_GW = "host-gw"
    VXLAN = "vxlan"


class CloudProvider(StrEnum):
    """Who says what machines Nodes are on and gives Services addresses: nobody, or a cloud controller manager."""

    NONE = "none"
    EXTERNAL = "external"


class Role(StrEnum):
    MASTER = "master"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Size:
    """A machine's hardware. memory, disk: bytes."""

    vcpus: int
    memory: int
    disk: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. Name, MAC and IP never change in a lab's life: certificates and etcd URLs rest on them."""

    name: str
    role: Role
    ip: str
    mac: str
    size: Size

    @property
    def is_master(self) -> bool:
        return self.role is Role.MASTER


@dataclass(frozen=True, slots=True)
class Group:
    """``count`` machines of one size."""

    count: int
    size: Size


@dataclass(frozen=True, slots=True)
class Lab:
    """A whole lab, checked."""

    name: str
    driver: Driver
    masters: Group
    workers: Group
    network: Network
    pod_cidr: Network
    service_cidr: Network
    dns_domain: str
    proxy_mode: ProxyMode
    control_plane: ControlPlane
    metrics_server: bool = True
    pod_network: PodNetwork = PodNetwork.AUTO
    pod_cidr_v6: ipaddress.IPv6Network | None = None
    service_cidr_v6: ipaddress.IPv6Network | None = None
    cloud_provider: CloudProvider = CloudProvider.NONE
    #: The first and the last address for Services of type LoadBalancer.
    load_balancers: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None = None
    #: How many zones the machines are spread over.
    zones: int = 1

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Masters first, then workers, by number."""
        masters = (self._machine(Role.MASTER, number) for number in range(1, self.masters.count + 1))
        workers = (self._machine(Role.WORKER, number) for number in range(1, self.workers.count + 1))
        return (*masters, *workers)

    @property
    def master(self) -> Machine:
        """The first master: it holds the registry and answers for the API."""
        return self.machines[0]

    @property
    def pod_cidrs(self) -> str:
        """The pods' network, and behind a comma that of IPv6, where pods have addresses of both families."""
        return f"{self.pod_cidr},{self.pod_cidr_v6}" if self.pod_cidr_v6 is not None else str(self.pod_cidr)

    @property
    def service_cidrs(self) -> str:
        """The Services' network, and behind a comma that of IPv6, where Services may have both."""
        return ",".join(str(cidr) for cidr in (self.service_cidr, self.service_cidr_v6) if cidr is not None)

    @property
    def gateway(self) -> str:
        """The host's address in the lab's network."""
        return str(self.network[1])

    @property
    def service_ip(self) -> str:
        """ClusterIP of the Service ``kubernetes``: the first of the service network."""
        return str(self.service_cidr[1])

    @property
    def dns_ip(self) -> str:
        """ClusterIP of ``kube-dns``: the tenth of the service network, as kubeadm has it."""
        return str(self.service_cidr[10])

    @property
    def endpoint(self) -> str:
        """The API server's URL."""
        return f"https://{self.master.ip}:6443"

    @property
    def hosts(self) -> dict[str, str]:
        """Name → address of every machine, for ``/etc/hosts``."""
        return {machine.name: machine.ip for machine in self.machines}

    def zone(self, machine: Machine) -> str:
        """Workers and masters each go round the zones, which are called LAB-a, LAB-b, …"""
        number = int(machine.name.rpartition("-")[2]) - 1
        return f"{self.name}-{chr(ord('a') + number % self.zones)}"

    def machine(self, name: str) -> Machine:
        """Raises ``KeyError`` when the lab has no such machine."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)

    def _machine(self, role: Role, number: int) -> Machine:
        name = f"{role.value}-{number}"
        first, group = (FIRST_MASTER, self.masters) if role is Role.MASTER else (FIRST_WORKER, self.workers)
        # 52:54:00 is QEMU's prefix for locally made addresses; the rest is the same for the same lab and name.
        tail = hashlib.sha256(f"{self.name}/{name}".encode()).hexdigest()
        mac = f"52:54:00:{tail[0:2]}:{tail[2:4]}:{tail[4:6]}"
        return Machine(name, role, str(self.network[first + number - 1]), mac, group.size)
