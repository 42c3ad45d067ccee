"""What a lab is: the machines, the networks and how the cluster on them is set up. Frozen; made by ``specfile``."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from enum import StrEnum

Network = ipaddress.IPv4Network
NetworkV6 = ipaddress.IPv6Network

#: Positions in the lab's network: the masters' shared address, the first master, the first worker; .1 is the host.
SHARED_ADDRESS, FIRST_MASTER, FIRST_WORKER = 10, 11, 21
#: Pod addresses per node: one network of this prefix length each, as the controller manager hands them out.
NODE_CIDR_PREFIX, NODE_CIDR_PREFIX_V6 = 24, 64
MAX_MASTERS = 5
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

    def __str__(self) -> str:
        return f"vcpus {self.vcpus}, memory {self.memory // MIB}Mi, disk {self.disk // MIB}Mi"


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. Name, MAC and IP never change in a lab's life: certificates and etcd URLs rest on them.

    ip_v6: "" in a lab whose machines have IPv4 addresses only.
    """

    name: str
    role: Role
    ip: str
    mac: str
    size: Size
    ip_v6: str = ""

    @property
    def is_master(self) -> bool:
        return self.role is Role.MASTER

    @property
    def ips(self) -> tuple[str, ...]:
        """IPv4 first: the order of the kubelet's ``--node-ip``, and so of the Node's addresses and of a pod's."""
        return (self.ip, self.ip_v6) if self.ip_v6 else (self.ip,)


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
    #: Of the machines. Without it pods reach those of other machines by IPv6 through a tunnel.
    network_v6: NetworkV6 | None = None
    pod_cidr_v6: NetworkV6 | None = None
    service_cidr_v6: NetworkV6 | None = None
    cloud_provider: CloudProvider = CloudProvider.NONE
    #: The first and the last address for Services of type LoadBalancer.
    load_balancers: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None = None
    load_balancers_v6: tuple[ipaddress.IPv6Address, ipaddress.IPv6Address] | None = None
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
        """The first master."""
        return self.machines[0]

    @property
    def all_masters(self) -> tuple[Machine, ...]:
        """By number."""
        return self.machines[: self.masters.count]

    @property
    def shared_ip(self) -> str:
        """The address that the API servers of several masters answer on together; "" where there is one master."""
        return str(self.network[SHARED_ADDRESS]) if self.masters.count > 1 else ""

    @property
    def pod_cidrs(self) -> str:
        """The pods' network, and behind a comma that of IPv6, where pods have addresses of both families."""
        return f"{self.pod_cidr},{self.pod_cidr_v6}" if self.pod_cidr_v6 is not None else str(self.pod_cidr)

    @property
    def service_cidrs(self) -> str:
        """The Services' network, and behind a comma that of IPv6, where Services may have both."""
        return ",".join(str(cidr) for cidr in (self.service_cidr, self.service_cidr_v6) if cidr is not None)

    @property
    def networks(self) -> str:
        """The machines' network, and behind a comma that of IPv6, where they have addresses of both families."""
        return ",".join(str(network) for network in (self.network, self.network_v6) if network is not None)

    @property
    def balancer_ranges(self) -> tuple[str, ...]:
        """``FIRST-LAST`` of each family that Services of type LoadBalancer get addresses of."""
        ranges = (self.load_balancers, self.load_balancers_v6)
        return tuple(f"{each[0]}-{each[1]}" for each in ranges if each is not None)

    @property
    def gateway(self) -> str:
        """The host's address in the lab's network."""
        return str(self.network[1])

    @property
    def gateway_v6(self) -> str:
        """The same of IPv6, "" where machines have no such addresses."""
        return str(self.network_v6[1]) if self.network_v6 is not None else ""

    @property
    def gateways(self) -> tuple[str, ...]:
        """The host's addresses in the lab's networks, of each family one."""
        return (self.gateway, self.gateway_v6) if self.gateway_v6 else (self.gateway,)

    def with_prefix(self, machine: Machine) -> tuple[str, ...]:
        """A machine's addresses with the prefix lengths of their networks: ``192.168.60.11/24``."""
        networks = (self.network, self.network_v6)
        return tuple(f"{ip}/{each.prefixlen}" for ip, each in zip(machine.ips, networks, strict=False) if each)

    @property
    def service_ip(self) -> str:
        """ClusterIP of the Service ``kubernetes``: the first of the service network."""
        return str(self.service_cidr[1])

    @property
    def dns_ip(self) -> str:
        """ClusterIP of ``kube-dns``: the tenth of the service network, as kubeadm has it."""
        return str(self.service_cidr[10])

    @property
    def dns_ips(self) -> tuple[str, ...]:
        """Every ClusterIP of ``kube-dns``: of each family the tenth."""
        return (self.dns_ip, str(self.service_cidr_v6[10])) if self.service_cidr_v6 is not None else (self.dns_ip,)

    @property
    def endpoint(self) -> str:
        """The URL of the API server, or of whichever of several holds their address."""
        return f"https://{self.shared_ip or self.master.ip}:6443"

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
        position = first + number - 1
        ip_v6 = str(self.network_v6[digits_alike(position)]) if self.network_v6 is not None else ""
        return Machine(name, role, str(self.network[position]), mac, group.size, ip_v6)


def digits_alike(position: int) -> int:
    """The position in an IPv6 network that is written with the digits of another in IPv4: .21 and ::21."""
    return int(str(position), 16)
