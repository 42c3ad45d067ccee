"""All that a walk knows: the nodes' snapshots and, of the API, which addresses mean what. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .snapshot import Host, Link, NodeSnapshot
from .verdicts import in_network


@dataclass(frozen=True, slots=True)
class Site:
    """A host and the node that it is on; of a node, itself."""

    node: NodeSnapshot
    host: Host

    @property
    def is_pod(self) -> bool:
        return self.host is not self.node.host


@dataclass(slots=True)
class World:
    """unread: nodes that could not be read, and why. pod_names: by address. service_names: by cluster, external and
    balancer address. backends: every address in an EndpointSlice. pod_networks: the nodes' parts of it.
    under: of the other family, where its packets carry those of this one."""

    nodes: dict[str, NodeSnapshot]
    unread: Mapping[str, str] = field(default_factory=dict)
    node_addresses: Mapping[str, str] = field(default_factory=dict)
    pod_names: Mapping[str, str] = field(default_factory=dict)
    service_names: Mapping[str, str] = field(default_factory=dict)
    backends: frozenset[str] = frozenset()
    pod_networks: tuple[str, ...] = ()
    under: World | None = None

    def is_pod_address(self, ip: str) -> bool:
        """Whether it is a pod's, or may be."""
        return ip in self.pod_names or any(in_network(ip, network) for network in self.pod_networks)

    def pod_at(self, ip: str) -> Site | None:
        """The pod that holds the address; the first where several do."""
        return next((Site(node, pod) for node in self.nodes.values() for pod in node.pods if pod.holds(ip)), None)

    def node_at(self, ip: str) -> NodeSnapshot | None:
        return next((node for node in self.nodes.values() if node.host.holds(ip) and not ip.startswith("127.")), None)

    def call(self, ip: str) -> str:
        """What people call an address: `10.244.1.5 (pod default/web)`."""
        for names, what in ((self.pod_names, "pod"), (self.service_names, "Service")):
            if ip in names:
                return f"{ip} ({what} {names[ip]})"
        node = next((name for name, address in self.node_addresses.items() if address == ip), "")
        return f"{ip} (node {node})" if node else ip

    def veth_of(self, site: Site, link: Link) -> Link | None:
        """The node's end of a pod's interface."""
        host = site.node.host
        return next(
            (one for one in host.links.values() if one.netns_id == site.host.netns_id and one.index == link.peer), None
        )

    @staticmethod
    def holders(node: NodeSnapshot, bridge: str, ip: str) -> list[tuple[Link, Host | None]]:
        """The bridge's ports behind which somebody has the address; with the pod where it was looked into."""
        held = {number for number, _, addresses in node.attached if ip in addresses}
        return [(port, node.pod_behind(port)) for port in node.host.ports_of(bridge) if port.netns_id in held]

    @staticmethod
    def stray(node: NodeSnapshot, ip: str) -> Link | None:
        """The node's end of a pod that has the address and hangs on no bridge."""
        held = {number for number, _, addresses in node.attached if ip in addresses}
        return next((one for one in node.host.links.values() if one.netns_id in held and not one.master), None)
