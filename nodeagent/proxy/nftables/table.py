"""What the table holds whatever services there are: base chains, the chains they jump to, maps and sets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nodeagent.proxy.node import NodeView, Settings

from . import names
from .plan import Rules


class BaseChain(NamedTuple):
    """A chain that the kernel calls."""

    type: str
    hook: str
    priority: int


_BEFORE_DNAT, _DNAT, _AFTER_DNAT, _SNAT = -110, -100, -90, 100
BASE_CHAINS = {
    # What filters looks at destinations before they are rewritten.
    "filter-prerouting": BaseChain("filter", "prerouting", _BEFORE_DNAT),
    "filter-input": BaseChain("filter", "input", _BEFORE_DNAT),
    "filter-forward": BaseChain("filter", "forward", _BEFORE_DNAT),
    "filter-output": BaseChain("filter", "output", _BEFORE_DNAT),
    # What this node sends to a ClusterIP that no rule has rewritten is for none of its ports.
    "filter-output-post-dnat": BaseChain("filter", "output", _AFTER_DNAT),
    "nat-prerouting": BaseChain("nat", "prerouting", _DNAT),
    "nat-output": BaseChain("nat", "output", _DNAT),
    "nat-postrouting": BaseChain("nat", "postrouting", _SNAT),
}
_ADDRESS = "ADDRESS"  # stands for the family's type
_DESTINATION, _PORT = f"{_ADDRESS} . inet_proto . inet_service : verdict", "inet_proto . inet_service : verdict"
MAPS = {
    names.SERVICE_IPS: (_DESTINATION, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
    names.SERVICE_NODEPORTS: (_PORT, "NodePort traffic"),
    names.NO_ENDPOINT_SERVICES: (_DESTINATION, "vmap to drop or reject packets to services with no endpoints"),
    names.NO_ENDPOINT_NODEPORTS: (_PORT, "vmap to drop or reject packets to service nodeports with no endpoints"),
    names.FIREWALL_IPS: (_DESTINATION, "destinations that are subject to LoadBalancerSourceRanges"),
}
SETS = {
    names.CLUSTER_IPS: (_ADDRESS, "Active ClusterIPs"),
    names.NODEPORT_IPS: (_ADDRESS, "IPs that accept NodePort traffic"),
}

CHAIN_COMMENTS = {names.REJECT: "helper for @no-endpoint-services / @no-endpoint-nodeports"}


def address_type(family: int) -> str:
    return f"ipv{family}_addr"


def containers(family: int) -> Mapping[str, tuple[str, str, str]]:
    """By name the word for it, `map` or `set`; its type; its comment."""
    found = {name: ("map", kind, comment) for name, (kind, comment) in MAPS.items()}
    found |= {name: ("set", kind, comment) for name, (kind, comment) in SETS.items()}
    return {
        name: (word, kind.replace(_ADDRESS, address_type(family)), comment)
        for name, (word, kind, comment) in found.items()
    }


def fixed_chains(settings: Settings, view: NodeView) -> dict[str, Rules]:
    """The chains that are not a service's own, with their rules."""
    ip = "ip" if settings.family == 4 else "ip6"
    no_localhost = "ip daddr != 127.0.0.0/8" if settings.family == 4 else "ip6 daddr != ::1"
    destination, port = f"{ip} daddr . meta l4proto . th dport vmap", "meta l4proto . th dport vmap"
    some = settings.answering(view) is not None
    node_port = f"{ip} daddr @{names.NODEPORT_IPS}" if some else no_localhost
    local_node_port = node_port if some else f"fib daddr type local {no_localhost}"
    new = "ct state new jump"
    filters = (f"{new} {names.SERVICE_ENDPOINTS_CHECK}",)
    return {
        # The kernel is asked to reject only where every kernel can: at the hooks input, forward and output.
        "filter-prerouting": (f"{new} {names.FIREWALL_CHECK}",),
        "filter-input": (f"{new} {names.NODEPORT_ENDPOINTS_CHECK}", *filters),
        "filter-forward": (*filters, f"{new} {names.CLUSTER_IPS_CHECK}"),
        "filter-output": (*filters, f"{new} {names.FIREWALL_CHECK}"),
        "filter-output-post-dnat": (f"{new} {names.CLUSTER_IPS_CHECK}",),
        "nat-prerouting": (f"jump {names.SERVICES}",),
        "nat-output": (f"jump {names.SERVICES}",),
        "nat-postrouting": (f"jump {names.MASQUERADING}", f"jump {names.POD_MASQUERADE}"),
        names.SERVICES: (
            f"{destination} @{names.SERVICE_IPS}",
            f"{local_node_port} {port} @{names.SERVICE_NODEPORTS}",
        ),
        names.SERVICE_ENDPOINTS_CHECK: (f"{destination} @{names.NO_ENDPOINT_SERVICES}",),
        names.NODEPORT_ENDPOINTS_CHECK: (f"{node_port} {port} @{names.NO_ENDPOINT_NODEPORTS}",),
        names.FIREWALL_CHECK: (f"{destination} @{names.FIREWALL_IPS}",),
        names.CLUSTER_IPS_CHECK: (
            f'{ip} daddr @{names.CLUSTER_IPS} reject comment "Reject traffic to invalid ports of ClusterIPs"',
        ),
        names.REJECT: ("reject",),
        names.MARK_MASQ: (f"meta mark set meta mark | {settings.mark}",),
        names.MASQUERADING: (
            f"meta mark & {settings.mark} == 0x00000000 return",
            f"meta mark set meta mark ^ {settings.mark}",
            "masquerade fully-random",
        ),
        names.POD_MASQUERADE: _pod_masquerade_rules(settings, view),
    }


def _pod_masquerade_rules(settings: Settings, view: NodeView) -> Rules:
    """Nothing outside knows the way to a pod; other pods do, and must see its address."""
    if not view.cluster_cidr or not view.pod_cidr:
        return ()
    ip, multicast = ("ip", "224.0.0.0/4") if settings.family == 4 else ("ip6", "ff00::/8")
    return (
        f"{ip} daddr {view.cluster_cidr} return",
        f"{ip} daddr {multicast} return",
        f"{ip} saddr {view.pod_cidr} masquerade fully-random",
    )
