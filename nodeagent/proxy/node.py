"""What of the node and of the configuration goes into rules, in either mode."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PRIMARY = "primary"  # of nodePortAddresses: the address that the Node object has


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is known of the node. cluster_cidr: the pod network of the family, empty when not known.

    pod_cidr: this node's part of it, the same. node_ip: the node's own address, the same.
    chosen_addresses: those of the machine's addresses that node ports were told to answer on; None: all of them.
    """

    cluster_cidr: str = ""
    pod_cidr: str = ""
    node_ip: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    masquerade_all: bool = False
    chosen_addresses: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for every service. masquerade_bit: of the packet mark, 0 to 31.

    localhost_node_ports: whether node ports answer on 127.0.0.1 (IPv4, iptables; needs the sysctl route_localnet).
    primary_node_port_address: whether they answer only on the address of the Node object.
    """

    family: int = 4
    masquerade_bit: int = 14
    localhost_node_ports: bool = True
    primary_node_port_address: bool = False
    tcp_liberal: bool = False

    @property
    def mark(self) -> str:
        return f"{1 << self.masquerade_bit:#010x}"

    def answering(self, view: NodeView) -> tuple[str, ...] | None:
        """The addresses that node ports were told to answer on; None for all of the node's."""
        if self.primary_node_port_address:
            return (view.node_ip,) if view.node_ip else ()
        return view.chosen_addresses

    def translated(self, view: NodeView) -> tuple[str, ...] | None:
        """The same for rules: loopback addresses only where packets from there can leave by other interfaces."""
        found = self.answering(view)
        if found is None or (self.localhost_node_ports and self.family == 4):
            return found
        return tuple(ip for ip in found if not ipaddress.ip_address(ip).is_loopback)


def include_localhost(networks: Sequence[str]) -> bool:
    """Whether node ports that answer within `networks`, or on PRIMARY, do on IPv4's loopback too.

    None of IPv4 stands for all of it.
    """
    if PRIMARY in networks:
        return False
    found = [network for text in networks if (network := ipaddress.ip_network(text)).version == 4]
    loopback = ipaddress.ip_network("127.0.0.0/8")
    return not found or any(network.overlaps(loopback) for network in found)
