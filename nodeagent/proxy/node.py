"""What of the node and of the configuration goes into rules, in either mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is known of the node. cluster_cidr: the pod network of the family, empty when not known.

    pod_cidr: this node's part of it, the same. node_ip: the node's own address, the same.
    """

    cluster_cidr: str = ""
    pod_cidr: str = ""
    node_ip: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    masquerade_all: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for every service. masquerade_bit: of the packet mark, 0 to 31.

    localhost_node_ports: whether node ports answer on 127.0.0.1 (IPv4, iptables; needs the sysctl route_localnet).
    node_port_addresses: the node's own addresses that node ports answer on; None for all of them.
    primary_node_port_address: only on the address of the Node object, whatever node_port_addresses says.
    """

    family: int = 4
    masquerade_bit: int = 14
    localhost_node_ports: bool = True
    node_port_addresses: tuple[str, ...] | None = None
    primary_node_port_address: bool = False
    tcp_liberal: bool = False

    @property
    def mark(self) -> str:
        return f"{1 << self.masquerade_bit:#010x}"

    def answering(self, view: NodeView) -> tuple[str, ...] | None:
        """The addresses that node ports answer on; None for all of the node's."""
        if self.primary_node_port_address:
            return (view.node_ip,) if view.node_ip else ()
        return self.node_port_addresses
