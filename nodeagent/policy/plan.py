"""From policies, pods and namespaces to what is allowed on one node. Pure: equal input, equal output.

A pod that a policy selects is isolated in the policy's directions; then only what some policy allows passes. Pods with
the same policies (and the same ports under the names that those use) share one chain.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta import labels, objects

from .model import EGRESS, INGRESS, Object, Pod, block_networks, policy_types

ANY: None = None
Protocol = str
PortRange = tuple[Protocol, int, int]
"""(protocol, first, last); 0 to 65535 for every port of it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a chain: traffic from (or to) `peers` with one of `ports` passes.

    peers: networks and addresses of one or both families; None for everybody. ports: None for all. peer_ports: instead
    of both, (address, protocol, port) each: a port named in an egress rule has another number with every pod.
    """

    origin: str
    peers: frozenset[str] | None = ANY
    ports: tuple[PortRange, ...] | None = ANY
    peer_ports: frozenset[tuple[str, Protocol, int]] | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """What may reach (ingress) or leave (egress) the pods that point here; anything else is dropped."""

    name: str
    direction: str
    rules: tuple[Rule, ...]


@dataclass(slots=True)
class Plan:
    """chains by name; ingress and egress: the pods' addresses → the chain that judges them."""

    chains: dict[str, Chain] = field(default_factory=dict)
    ingress: dict[str, str] = field(default_factory=dict)
    egress: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """Everything there is. namespaces: their labels by name."""

    policies: Sequence[Object]
    pods: Sequence[Pod]
    namespaces: Mapping[str, Mapping[str, str]]


def plan_rules(world: World, node: str) -> Plan:
    """What isolates the pods of `node`. Grows with the policies that select them and the peers these name."""
    plan = Plan()
    # Pods with the same policies have the same chain; ports are theirs, where an ingress rule may name one.
    known: dict[tuple[object, ...], Chain] = {}
    policies = [
        (one, objects.namespace(one), _selector(one["spec"].get("podSelector")))
        for one in sorted(world.policies, key=objects.key)
    ]
    for pod in world.pods:
        if pod.node != node:
            continue
        selecting = [
            one for one, namespace, chosen in policies if namespace == pod.namespace and chosen.matches(pod.labels)
        ]
        for direction, verdicts in ((INGRESS, plan.ingress), (EGRESS, plan.egress)):
            isolating = [one for one in selecting if direction in policy_types(one["spec"])]
            if isolating:
                key = (direction, pod.ports if direction == INGRESS else (), *map(id, isolating))
                chain = known.get(key) or known.setdefault(key, _chain(world, pod, direction, isolating))
                plan.chains.setdefault(chain.name, chain)
                verdicts.update(dict.fromkeys(pod.ips, chain.name))
    return plan


def _chain(world: World, pod: Pod, direction: str, policies: Iterable[Object]) -> Chain:
    rules = tuple(rule for policy in policies for rule in _rules(world, pod, direction, policy))
    # The name says what is in it: a chain is never changed, it is replaced by another.
    digest = hashlib.sha256(repr((direction, rules_key(rules))).encode()).hexdigest()[:12]
    return Chain(f"{direction}-{digest}", direction, rules)


def rules_key(rules: Iterable[Rule]) -> object:
    """Equal for equal rules, in every process: sets have no order of their own."""
    return [
        (
            rule.origin,
            None if rule.peers is None else sorted(rule.peers),
            rule.ports,
            None if rule.peer_ports is None else sorted(rule.peer_ports),
        )
        for rule in rules
    ]


def _rules(world: World, pod: Pod, direction: str, policy: Object) -> Iterable[Rule]:
    key = "from" if direction == INGRESS else "to"
    for index, said in enumerate(policy["spec"].get(direction) or ()):
        origin = f"{objects.key(policy)} {direction}[{index}]"
        pods, blocks = _peers(world, objects.namespace(policy), said.get(key) or ())
        everybody = not said.get(key)
        peers = None if everybody else frozenset((*(ip for one in pods for ip in one.ips), *blocks))
        ports = said.get("ports")
        if not ports:
            yield Rule(origin, peers)
            continue
        named = [port for port in ports if isinstance(port.get("port"), str)]
        ranges = [_range(port) for port in ports if port not in named]
        if direction == INGRESS:
            ranges += [one for port in named for one in _ports_named(pod, port)]
        elif named:
            # Nobody knows what an address outside of the cluster calls its ports; a pod in a block has names for them.
            yield Rule(
                origin,
                peer_ports=frozenset(
                    (ip, protocol, number)
                    for one, ip in _with_names(world, pods, blocks, everybody=everybody)
                    for port in named
                    for protocol, number, _ in _ports_named(one, port)
                ),
            )
        if ranges:
            yield Rule(origin, peers, tuple(sorted(set(ranges))))


def _peers(world: World, namespace: str, said: Iterable[Mapping[str, Any]]) -> tuple[list[Pod], list[str]]:
    pods: dict[tuple[str, str], Pod] = {}
    blocks: list[str] = []
    for peer in said:
        if "ipBlock" in peer:
            blocks += block_networks(peer["ipBlock"])
            continue
        chosen, spaces = _selector(peer.get("podSelector")), {namespace}
        if "namespaceSelector" in peer:
            wanted = _selector(peer["namespaceSelector"])
            spaces = {name for name, given in world.namespaces.items() if wanted.matches(given)}
        for pod in world.pods:
            if pod.namespace in spaces and chosen.matches(pod.labels):
                pods[pod.namespace, pod.name] = pod
    return list(pods.values()), blocks


def _with_names(
    world: World, pods: Iterable[Pod], blocks: Iterable[str], *, everybody: bool
) -> Iterable[tuple[Pod, str]]:
    """The pods among the peers of a rule, with those of their addresses that are meant."""
    chosen = {(pod.namespace, pod.name) for pod in pods}
    networks = [ipaddress.ip_network(block) for block in blocks]
    for pod in world.pods:
        every = everybody or (pod.namespace, pod.name) in chosen
        for ip in pod.ips:
            if every or any(ipaddress.ip_address(ip) in network for network in networks):
                yield pod, ip


def _range(port: Mapping[str, Any]) -> PortRange:
    protocol, first = str(port.get("protocol") or "TCP"), port.get("port")
    if first is None:
        return (protocol, 0, 65535)
    return (protocol, int(first), int(port.get("endPort") or first))


def _ports_named(pod: Pod, port: Mapping[str, Any]) -> list[PortRange]:
    wanted = (port["port"], str(port.get("protocol") or "TCP"))
    return [(protocol, number, number) for name, protocol, number in pod.ports if (name, protocol) == wanted]


def _selector(said: Mapping[str, Any] | None) -> labels.Selector:
    """One that is absent or empty selects everything here; one that cannot be read selects nothing."""
    try:
        return labels.from_label_selector(dict(said or {}))
    except ValueError:
        return labels.NOTHING
