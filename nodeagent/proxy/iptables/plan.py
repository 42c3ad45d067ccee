"""The rules of one service port, as kube-proxy lays them out (pkg/proxy/iptables/proxier.go). Pure.

Rules are written without `-A CHAIN`. Those of the shared chains are collected per service; a service's own chains are
whole.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nodeagent.proxy.node import NodeView
from nodeagent.proxy.services import Endpoint, ServicePort
from nodeagent.proxy.traffic import Reachable, reachable

from . import names

Rules = tuple[str, ...]


@dataclass(slots=True)
class PortPlan:
    """Rules that one service port adds to the shared chains, and the chains that are its own (nat table)."""

    nat_services: list[str] = field(default_factory=list)
    nat_nodeports: list[str] = field(default_factory=list)
    filter_services: list[str] = field(default_factory=list)
    filter_external: list[str] = field(default_factory=list)
    filter_nodeports: list[str] = field(default_factory=list)
    filter_firewall: list[str] = field(default_factory=list)
    chains: dict[str, Rules] = field(default_factory=dict)

    def shared(self) -> tuple[list[str], ...]:
        """What it adds to the shared chains."""
        return (
            self.nat_services, self.nat_nodeports, self.filter_services, self.filter_external, self.filter_nodeports,
            self.filter_firewall,
        )  # fmt: skip


def plan_port(port: ServicePort, endpoints: Sequence[Endpoint], view: NodeView, *, comments: bool = True) -> PortPlan:
    """comments: whether the rules of endpoints say what they are for; left out of large rule sets, as upstream."""
    return _PortPlanner(port, reachable(endpoints, port, view.labels), view, comments).plan()


class _Target(NamedTuple):
    """An endpoint as text, and its chain."""

    address: str
    chain: str


class _PortPlanner:
    """One planning: the names and decisions that its parts share."""

    def __init__(self, port: ServicePort, where: Reachable, view: NodeView, comments: bool) -> None:
        self.port, self.where, self.view, self.comments = port, where, view, comments
        self.out = PortPlan()
        self.cluster_chain, self.local_chain, self.external_chain, self.firewall_chain = names.port_chains(
            port.name, port.protocol
        )
        self.internal_chain = self.local_chain if port.internal_local else self.cluster_chain
        self.firewalled = where.anywhere and bool(port.balancer_ips and port.source_ranges)
        self.match = f"-m {port.protocol} -p {port.protocol}"
        self.to_cluster_ip = f"{self.match} -d {port.cluster_ip} --dport {port.port}"
        self.cluster_ip_words = _comment(f"{port.name} cluster IP")

    def plan(self) -> PortPlan:
        self._capture_cluster_ip()
        self._capture_external()
        self._capture_node_port()
        if self.port.health_check_port:
            words = _comment(f"{self.port.name} health check node port")
            self.out.filter_nodeports.append(f"{words} -m tcp -p tcp --dport {self.port.health_check_port} -j ACCEPT")
        if self.where.anywhere and self.port.externally_accessible:
            self.out.chains[self.external_chain] = tuple(self._external_rules())
        if self.firewalled:
            self.out.chains[self.firewall_chain] = tuple(self._firewall_rules())
        targets = [self._target(one) for one in self.where.reachable]
        if self.where.local:
            by_endpoint = dict(zip(self.where.reachable, targets, strict=True))
            if self.where.cluster:
                self._policy_chain(self.cluster_chain, [by_endpoint[one] for one in self.where.cluster])
            self._policy_chain(self.local_chain, [by_endpoint[one] for one in self.where.local])
        elif targets:
            self._policy_chain(self.cluster_chain, targets)
        note = self._note(self.port.name)
        for endpoint, target in zip(self.where.reachable, targets, strict=True):
            self.out.chains[target.chain] = self._endpoint_rules(endpoint.ip, target, note)
        return self.out

    def _target(self, endpoint: Endpoint) -> _Target:
        address = str(endpoint)
        return _Target(address, names.endpoint_chain(self.port.name, self.port.protocol, address))

    def _refusal(self) -> tuple[str, str]:
        """Comment and target for traffic that has nowhere to go: REJECT when there is no endpoint at all."""
        if not self.where.anywhere:
            return _comment(f"{self.port.name} has no endpoints"), "REJECT"
        return _comment(f"{self.port.name} has no local endpoints"), "DROP"

    def _capture_cluster_ip(self) -> None:
        if self.where.internal:
            self.out.nat_services.append(f"{self.cluster_ip_words} {self.to_cluster_ip} -j {self.internal_chain}")
        else:
            words, target = self._refusal()
            self.out.filter_services.append(f"{words} {self.to_cluster_ip} -j {target}")

    def _capture_external(self) -> None:
        port = self.port
        kinds = (
            ("external IP", port.external_ips, self.external_chain),
            ("loadbalancer IP", port.balancer_ips, self.firewall_chain if self.firewalled else self.external_chain),
        )
        for what, ips, chain in kinds:
            for ip in ips:
                to = f"{self.match} -d {ip} --dport {port.port}"
                if self.where.anywhere:
                    self.out.nat_services.append(f"{_comment(f'{port.name} {what}')} {to} -j {chain}")
                if not self.where.external:
                    words, target = self._refusal()
                    self.out.filter_external.append(f"{words} {to} -j {target}")
        if self.firewalled:
            words = _comment(f"{port.name} traffic not accepted by {self.firewall_chain}")
            for ip in port.balancer_ips:
                self.out.filter_firewall.append(f"{words} {self.match} -d {ip} --dport {port.port} -j DROP")

    def _capture_node_port(self) -> None:
        if not self.port.node_port:
            return
        to = f"{self.match} --dport {self.port.node_port}"
        if self.where.anywhere:
            self.out.nat_nodeports.append(f"{_comment(self.port.name)} {to} -j {self.external_chain}")
        if not self.where.external:
            words, target = self._refusal()
            self.out.filter_external.append(f"{words} -m addrtype --dst-type LOCAL {to} -j {target}")

    def _external_rules(self) -> list[str]:
        """Masquerade what may leave for another node; keep the client's address where only this node answers."""
        name, rules = self.port.name, []
        if not self.port.external_local:
            words = _comment(f"masquerade traffic for {name} external destinations")
            rules.append(f"{words} -j {names.MARK_MASQ}")
        else:
            if self.view.cluster_cidr:
                words = _comment(f"pod traffic for {name} external destinations")
                rules.append(f"{words} -s {self.view.cluster_cidr} -j {self.cluster_chain}")
            local = "-m addrtype --src-type LOCAL"
            words = _comment(f"masquerade LOCAL traffic for {name} external destinations")
            rules.append(f"{words} {local} -j {names.MARK_MASQ}")
            words = _comment(f"route LOCAL traffic for {name} external destinations")
            rules.append(f"{words} {local} -j {self.cluster_chain}")
        if self.where.external:
            rules.append(f"-j {self.local_chain if self.port.external_local else self.cluster_chain}")
        return rules

    def _firewall_rules(self) -> list[str]:
        words = _comment(f"{self.port.name} loadbalancer IP")
        rules = [f"{words} -s {cidr} -j {self.external_chain}" for cidr in self.port.source_ranges]
        if self.port.lets_in(self.view.node_ip):
            # The node itself, calling a balancer's IP that is an address of the node, comes from that IP.
            rules += [f"{words} -s {ip} -j {self.external_chain}" for ip in self.port.balancer_ips]
        rules.append(_comment(f"other traffic to {self.port.name} will be dropped by KUBE-PROXY-FIREWALL"))
        return rules

    def _policy_chain(self, chain: str, targets: Sequence[_Target]) -> None:
        rules = []
        if chain == self.internal_chain and self.where.internal:
            # What comes to a ClusterIP from outside of the pod network might be answered past this node.
            to = f"{self.cluster_ip_words} {self.to_cluster_ip}"
            if self.view.masquerade_all:
                rules.append(f"{to} -j {names.MARK_MASQ}")
            elif self.view.cluster_cidr:
                rules.append(f"{to} ! -s {self.view.cluster_cidr} -j {names.MARK_MASQ}")
        if self.port.sticky_seconds:
            for address, target in targets:
                recent = f"-m recent --name {target} --rcheck --seconds {self.port.sticky_seconds} --reap"
                rules.append(f"{self._note(f'{self.port.name} -> {address}')}{recent} -j {target}")
        left = len(targets)
        for address, target in targets:
            note = self._note(f"{self.port.name} -> {address}") if self.comments else ""
            rules.append(f"{note}{_chance(left)}-j {target}")
            left -= 1
        self.out.chains[chain] = tuple(rules)

    def _endpoint_rules(self, ip: str, target: _Target, note: str) -> Rules:
        sticky = f"-m recent --name {target.chain} --set " if self.port.sticky_seconds else ""
        return (
            f"{note}-s {ip} -j {names.MARK_MASQ}",
            f"{note}{sticky}{self.match} -j DNAT --to-destination {target.address}",
        )

    def _note(self, words: str) -> str:
        return f"{_comment(words)} " if self.comments else ""


@functools.lru_cache
def _chance(left: int) -> str:
    """What sends one of `left` connections to the next of as many endpoints."""
    return f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""


def _comment(words: str) -> str:
    return f'-m comment --comment "{words}"'
