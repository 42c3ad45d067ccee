"""What one service port adds to the table, as kube-proxy lays it out (pkg/proxy/nftables/proxier.go). Pure.

Rules are text of the nft language. `encode` knows those that an endpoint's coming and going writes; whoever changes one
here changes it there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nodeagent.proxy.node import NodeView
from nodeagent.proxy.services import Endpoint, ServicePort
from nodeagent.proxy.traffic import Reachable, reachable

from . import names

Rules = tuple[str, ...]
Element = tuple[str, str]
"""A map or set of the table, and a key in it."""

_COMMENT = 127  # bytes of a comment that nft takes


@dataclass(slots=True)
class PortPlan:
    """chains: whole. sets: of affinity, with the seconds a client is kept. elements: verdict, "" in a set; comment."""

    chains: dict[str, Rules] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    elements: dict[Element, tuple[str, str]] = field(default_factory=dict)


def plan_port(port: ServicePort, endpoints: Sequence[Endpoint], view: NodeView) -> PortPlan:
    return _PortPlanner(port, reachable(endpoints, port, view.labels), view).plan()


class _Target(NamedTuple):
    """The names that belong to an endpoint: its chain, and the set of the clients it keeps, if it keeps any."""

    chain: str
    affinity_set: str


class _PortPlanner:
    """One planning: the names and decisions that its parts share."""

    def __init__(self, port: ServicePort, where: Reachable, view: NodeView) -> None:
        self.port, self.where, self.view = port, where, view
        self.out = PortPlan()
        self.ip = "ip6" if ":" in port.cluster_ip else "ip"
        self.cluster_chain, self.local_chain, self.external_chain, self.firewall_chain = names.port_chains(port)
        self.firewalled = bool(port.balancer_ips and port.source_ranges) and not any(
            cidr.endswith("/0") for cidr in port.source_ranges
        )

    def plan(self) -> PortPlan:
        port, where = self.port, self.where
        self._put(names.CLUSTER_IPS, port.cluster_ip, "")
        internal = self.local_chain if port.internal_local else self.cluster_chain
        self._capture(port.cluster_ip, internal if where.internal else "", where.internal)
        to_external = self.external_chain if where.anywhere else ""
        for ip in (*port.external_ips, *port.balancer_ips):
            self._capture(ip, to_external, where.external)
        if self.firewalled:
            for ip in port.balancer_ips:
                self._put(names.FIREWALL_IPS, self._key(ip), f"goto {self.firewall_chain}")
            self.out.chains[self.firewall_chain] = (self._firewall_rule(),)
        if port.node_port:
            key = f"{port.protocol} . {port.node_port}"
            if to_external:
                self._put(names.SERVICE_NODEPORTS, key, f"goto {to_external}")
            if not where.external:
                self._put(names.NO_ENDPOINT_NODEPORTS, key, self._refusal(), port.name)
        if where.anywhere and port.externally_accessible:
            self.out.chains[self.external_chain] = tuple(self._external_rules())
        targets = {one: self._target(one) for one in where.reachable}
        for chain, endpoints in ((self.cluster_chain, where.cluster), (self.local_chain, where.local)):
            if endpoints:
                captured = chain == internal and where.internal
                choice = self._choice([targets[one] for one in endpoints])
                self.out.chains[chain] = (*self._masquerade_rules(captured), *choice)
        for endpoint, target in targets.items():
            self.out.chains[target.chain] = self._endpoint_rules(endpoint, target)
            if target.affinity_set:
                self.out.sets[target.affinity_set] = port.sticky_seconds
        return self.out

    def _target(self, endpoint: Endpoint) -> _Target:
        kept = names.affinity_set(self.port, endpoint) if self.port.sticky_seconds else ""
        return _Target(names.endpoint_chain(self.port, endpoint), kept)

    def _put(self, container: str, key: str, verdict: str, comment: str = "") -> None:
        """An address that is there twice, as external IP and as a balancer's, counts once: the first."""
        self.out.elements.setdefault((container, key), (verdict, comment[:_COMMENT]))

    def _key(self, ip: str) -> str:
        return f"{ip} . {self.port.protocol} . {self.port.port}"

    def _capture(self, ip: str, chain: str, served: bool) -> None:
        if chain:
            self._put(names.SERVICE_IPS, self._key(ip), f"goto {chain}")
        if not served:
            self._put(names.NO_ENDPOINT_SERVICES, self._key(ip), self._refusal(), self.port.name)

    def _refusal(self) -> str:
        """For traffic that has nowhere to go: rejected when there is no endpoint at all, else dropped."""
        return "drop" if self.where.anywhere else f"goto {names.REJECT}"

    def _masquerade_rules(self, captured: bool) -> Rules:
        """What comes to a ClusterIP from outside of the pod network might be answered past this node."""
        port, view = self.port, self.view
        if not captured or not (view.masquerade_all or view.cluster_cidr):
            return ()
        outside = "" if view.masquerade_all else f"{self.ip} saddr != {view.cluster_cidr} "
        to = f"{self.ip} daddr {port.cluster_ip} {port.protocol} dport {port.port}"
        return (f"{to} {outside}jump {names.MARK_MASQ}",)

    def _external_rules(self) -> Iterable[str]:
        """Masquerade what may leave for another node; keep the client's address where only this node answers."""
        if not self.port.external_local:
            yield f"jump {names.MARK_MASQ}"
        else:
            if self.view.cluster_cidr:
                pods = f"{self.ip} saddr {self.view.cluster_cidr}"
                yield f'{pods} goto {self.cluster_chain} comment "short-circuit pod traffic"'
            yield f'fib saddr type local jump {names.MARK_MASQ} comment "masquerade local traffic"'
            yield f'fib saddr type local goto {self.cluster_chain} comment "short-circuit local traffic"'
        if self.where.external:
            yield f"goto {self.local_chain if self.port.external_local else self.cluster_chain}"

    def _firewall_rule(self) -> str:
        sources = list(self.port.source_ranges)
        if self.port.lets_in(self.view.node_ip):
            # The node itself, calling a balancer's IP that is an address of the node, comes from that IP.
            sources += self.port.balancer_ips
        return f"{self.ip} saddr != {{ {', '.join(_disjoint(sources))} }} drop"

    def _choice(self, targets: Sequence[_Target]) -> list[str]:
        rules = [f"{self.ip} saddr @{kept} goto {chain}" for chain, kept in targets if kept]
        chains = ", ".join([f"{number} : goto {target.chain}" for number, target in enumerate(targets)])
        return [*rules, f"numgen random mod {len(targets)} vmap {{ {chains} }}"]

    def _endpoint_rules(self, endpoint: Endpoint, target: _Target) -> Rules:
        masquerade = f"{self.ip} saddr {endpoint.ip} jump {names.MARK_MASQ}"
        rewrite = f"meta l4proto {self.port.protocol} dnat to {endpoint}"
        if target.affinity_set:
            return masquerade, f"update @{target.affinity_set} {{ {self.ip} saddr }}", rewrite
        return masquerade, rewrite


def _disjoint(sources: Iterable[str]) -> list[str]:
    """The same addresses without overlaps: nft refuses a set of ranges that has any."""
    networks = [ipaddress.ip_network(source) for source in sources]
    return [str(network) for network in ipaddress.collapse_addresses(networks)]  # type: ignore[type-var]
