"""What the kernel holds against what the API asks for: rules that are missing, and rules that nobody asked for. Pure.

What should be there is said by those who write it: kube-proxy's planners, the policies' and the routes'.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from apimachinery.meta import objects
from nodeagent.policy.model import read_pod
from nodeagent.policy.plan import World as PolicyWorld
from nodeagent.policy.plan import plan_rules
from nodeagent.policy.render import TABLE as POLICY_TABLE
from nodeagent.policy.render import build_table
from nodeagent.proxy import services
from nodeagent.proxy.iptables.plan import plan_port
from nodeagent.proxy.iptables.ruleset import JUMPS, assemble, is_ours
from nodeagent.proxy.nftables.plan import plan_port as plan_elements
from nodeagent.proxy.nftables.table import fixed_chains
from nodeagent.proxy.node import NodeView, Settings, include_localhost
from nodeagent.routes.nodes import node_network

from .account_nft import judge_table, read_elements
from .cluster import Cluster, Object
from .iptables_rules import Chain, Rule, Tables, parse_rule, program, same_rule
from .packet import Finding, Trail
from .routing import exact_routes
from .snapshot import Json, NodeSnapshot
from .verdicts import in_network, split_endpoint

_COMMENT = re.compile(r'comment "([^"]*)"')
_SHOWN = 3  # rules of a chain that are named
_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_CNI = ("CNI-", "KUBE-", "KUBELAB-")  # chains that the CNI plugins and kube-proxy jump to


def judge_node(cluster: Cluster, node: NodeSnapshot, family: int, ips: Iterable[str]) -> list[Finding]:
    """ips: those that the question is about; routes to others are not judged."""
    trail = Trail()
    _judge_services(cluster, node, family, trail)
    _judge_policies(cluster, node, trail)
    _judge_routes(cluster, node, family, list(ips), trail)
    for problem in node.host.problems:
        trail.found("unread", node.host.label, f"could not be read: {problem}")
    return trail.findings


def proxy_mode(node: NodeSnapshot) -> str:
    """As kube-proxy says, else as its rules look."""
    said = str(_configuration(node).get("mode") or "")
    if said:
        return said
    return "nftables" if any(name == "kube-proxy" for _, name in node.host.nft.tables) else "iptables"


def _circumstances(cluster: Cluster, node: NodeSnapshot, family: int) -> tuple[Settings, NodeView]:
    """What kube-proxy on this node goes by, besides Services."""
    said = _configuration(node)
    own = cluster.node(node.name) or {"metadata": {"name": node.name}}
    network, detail = node_network(own), said.get("iptables") or {}
    view = NodeView(
        cluster_cidr=_cluster_cidr(said, node.host.tables, family),
        pod_cidr=network.pod_cidr(family),
        node_ip=network.address(family),
        labels=objects.labels(own),
        masquerade_all=bool(detail.get("masqueradeAll")),
    )
    localhost = bool(detail.get("localhostNodePorts", True)) and include_localhost(said.get("nodePortAddresses") or [])
    settings = Settings(
        family=family,
        masquerade_bit=int(detail.get("masqueradeBit", 14)),
        localhost_node_ports=localhost and family == 4,
        tcp_liberal=node.host.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal") != 0,
    )
    return settings, view


def _ports(
    cluster: Cluster, node: NodeSnapshot, family: int
) -> Iterator[tuple[services.ServicePort, list[services.Endpoint]]]:
    for service in sorted(cluster.services, key=objects.key):
        behind = services.endpoints(cluster.slices_of(service), node.name, family)
        for port in services.service_ports(service, family):
            yield port, behind.get((port.port_name, port.protocol), [])


def _judge_services(cluster: Cluster, node: NodeSnapshot, family: int, trail: Trail) -> None:
    label, tables = node.host.label, node.host.tables
    if node.proxy is None:
        trail.found(
            "proxy", label, "kube-proxy does not answer: rules stay as they are, whatever changes",
            "curl -s 127.0.0.1:10249/proxyMode",
        )  # fmt: skip
    settings, view = _circumstances(cluster, node, family)
    ports = _ports(cluster, node, family)
    if proxy_mode(node) != "iptables":
        plans = [plan_elements(port, behind, view) for port, behind in ports]
        judge_table(label, node.host.nft, family, plans, fixed_chains(settings, view), trail)
        return
    wanted = assemble((plan_port(port, behind, view) for port, behind in ports), settings, view)
    for table in ("nat", "filter"):
        chains, live = wanted.table(table), tables.get(table, {})
        shown = f"{program(family)} -t {table} -S"
        for name, rules in chains.items():
            _judge_chain(label, table, name, [parse_rule(rule) for rule in rules], live.get(name), shown, trail)
        for name, chain in live.items():
            if is_ours(name) and name not in chains:
                _unaccounted(cluster, label, table, chain, shown, trail)
        for jump in JUMPS:
            source = live.get(jump.source)
            if jump.table == table and not any(
                rule.target == jump.target for rule in (source.rules if source is not None else ())
            ):
                what = f"{table} {jump.source} does not lead to {jump.target}"
                trail.found("flushed", label, what, f"{shown} {jump.source}")
        for name in _BUILT_IN:
            _judge_built_in(label, table, live.get(name), shown, trail)


def _judge_chain(
    label: str, table: str, name: str, wanted: list[Rule], live: Chain | None, shown: str, trail: Trail
) -> None:
    command = f"{shown} {name}"
    if live is None:
        if wanted:
            trail.found("flushed", label, f"{table} {name} is missing", command)
        return
    there, asked = Counter(map(same_rule, live.rules)), Counter(map(same_rule, wanted))
    missing = [rule for rule in wanted if same_rule(rule) in asked - there]
    extra = [rule for rule in live.rules if same_rule(rule) in there - asked]
    if missing:
        trail.found("flushed", label, f"{table} {name} lacks {_some(missing)}", command)
    if extra:
        trail.found("foreign", label, f"{table} {name} has {_some(extra)}, which no API object asks for", command)


def _unaccounted(cluster: Cluster, label: str, table: str, chain: Chain, shown: str, trail: Trail) -> None:
    command = f"{shown} {chain.name}"
    known = {
        ip for one in cluster.slices for entry in one.get("endpoints") or () for ip in entry.get("addresses") or ()
    }
    for rule in chain.rules:
        if rule.target == "DNAT" and split_endpoint(to := rule.options["--to-destination"].value)[0] not in known:
            trail.found("dead-endpoint", label, f"{table} {chain.name} leads to {to}, which is no endpoint", command)
            return
    trail.found("foreign", label, f"{table} {chain.name}: no API object accounts for it", command)


def _judge_built_in(label: str, table: str, chain: Chain | None, shown: str, trail: Trail) -> None:
    foreign = [rule for rule in (chain.rules if chain is not None else ()) if not rule.target.startswith(_CNI)]
    if chain is not None and foreign:
        what = f"{table} {chain.name} has {_some(foreign)}, which is not of Kubernetes"
        trail.found("foreign", label, what, f"{shown} {chain.name}")


def _judge_policies(cluster: Cluster, node: NodeSnapshot, trail: Trail) -> None:
    pods = [pod for one in cluster.pods if (pod := read_pod(one)) is not None]
    spaces = {objects.name(one): objects.labels(one) for one in cluster.namespaces}
    wanted = build_table(plan_rules(PolicyWorld(list(cluster.policies), pods, spaces), node.name))
    table, nft, label = ("inet", POLICY_TABLE), node.host.nft, node.host.label
    command = f"nft list table inet {POLICY_TABLE}"
    if not wanted.chains:
        return
    if table not in nft.tables:
        trail.found("flushed", label, f"table inet {POLICY_TABLE} is missing: no policy is enforced", command)
        return
    live = {name for place, name in nft.chains if place == table and not nft.chains[place, name].hook}
    for name in sorted(set(wanted.chains) - live):
        origins = ", ".join(sorted(set(_COMMENT.findall(" ".join(wanted.chains[name]))))) or "lets nothing through"
        trail.found("flushed", label, f"the policy chain {name} ({origins}) is missing", command)
    for name in sorted(live - set(wanted.chains)):
        trail.found("foreign", label, f"no NetworkPolicy accounts for the chain {name}", command)
    for name, (_, verdicts) in wanted.maps.items():
        there = read_elements(nft, table, name)
        for ip in sorted(ip for ip, verdict in verdicts.items() if there.get(ip) != verdict):
            trail.found("flushed", label, f"the policies' map {name} does not lead {ip} to {verdicts[ip]}", command)


def policies_of(cluster: Cluster, pod: Object | None, direction: str) -> list[str]:
    """The NetworkPolicies that isolate a pod in the direction `ingress` or `egress`, by key."""
    read = read_pod(pod) if pod is not None else None
    if read is None:
        return []
    spaces = {objects.name(one): objects.labels(one) for one in cluster.namespaces}
    found = []
    for policy in sorted(cluster.policies, key=objects.key):
        plan = plan_rules(PolicyWorld([policy], [read], spaces), read.node)
        if plan.ingress if direction == "ingress" else plan.egress:
            found.append(objects.key(policy))
    return found


def _judge_routes(cluster: Cluster, node: NodeSnapshot, family: int, ips: list[str], trail: Trail) -> None:
    for other in map(node_network, cluster.nodes):
        if other.name == node.name:
            continue
        for cidr in other.pod_cidrs:
            if ipaddress.ip_network(cidr).version != family or not any(in_network(ip, cidr) for ip in ips):
                continue
            if not exact_routes(node.host, cidr):
                what = f"no route to {cidr}, the pods of {other.name}"
                trail.found(
                    "route", node.host.label, what, f"ip route show {cidr}", _by_hand(node, cidr, other.address(family))
                )


def _by_hand(node: NodeSnapshot, cidr: str, gateway: str) -> str:
    """How the route is made; "" where it would lead through a tunnel, whose entries no person writes."""
    if not gateway or any(link.kind == "vxlan" for link in node.host.links.values()):
        return ""
    ip = "ip -6" if ":" in cidr else "ip"
    made = "kube-proxy makes it from Node objects (systemctl status kube-proxy)"
    return f"{made}; by hand: {ip} route add {cidr} via {gateway}"


def _configuration(node: NodeSnapshot) -> Json:
    found = (node.proxy or {}).get("kubeproxy.config.k8s.io") or {}
    return found if isinstance(found, dict) else {}


def _cluster_cidr(said: Json, tables: Tables, family: int) -> str:
    """From the configuration; where kube-proxy does not answer, from the rules it wrote."""
    for text in str(said.get("clusterCIDR") or "").split(","):
        if text and ipaddress.ip_network(text).version == family:
            return text
    masquerade = tables.get("nat", {}).get("KUBELAB-POD-MASQ")
    for rule in masquerade.rules if masquerade is not None else ():
        if rule.target == "RETURN" and "-d" in rule.options:
            return rule.options["-d"].value
    return ""


def _some(rules: list[Rule]) -> str:
    shown = "; ".join(rule.text for rule in rules[:_SHOWN])
    return f"`{shown}`" + (f" and {len(rules) - _SHOWN} more" if len(rules) > _SHOWN else "")
