"""The names of kube-proxy's chains. Hashes are upstream's (pkg/proxy/iptables), so that people find the same names."""

from __future__ import annotations

from typing import NamedTuple

from nodeagent.proxy.hashes import short_hash

SERVICES = "KUBE-SERVICES"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
NODEPORTS = "KUBE-NODEPORTS"
POSTROUTING = "KUBE-POSTROUTING"
MARK_MASQ = "KUBE-MARK-MASQ"
FORWARD = "KUBE-FORWARD"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
FIREWALL = "KUBE-FIREWALL"
# Not upstream's: what an ip-masq-agent does on other clusters (pods' traffic to the outside gets the node's address).
POD_MASQUERADE = "KUBELAB-POD-MASQ"

# A chain that begins so belongs to one service port or one endpoint of it, and to us.
SERVICE_PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-")


class PortChains(NamedTuple):
    """The chains of one service port.

    cluster: picks among all endpoints. local: among those on this node. external: for what came to a node port, an
    external IP or a load balancer's IP. firewall: lets the source ranges of a load balancer through.
    """

    cluster: str
    local: str
    external: str
    firewall: str


def port_chains(port: str, protocol: str) -> PortChains:
    """port: `namespace/name:port`; protocol: in small letters."""
    digest = short_hash(port + protocol, 16)
    return PortChains(f"KUBE-SVC-{digest}", f"KUBE-SVL-{digest}", f"KUBE-EXT-{digest}", f"KUBE-FW-{digest}")


def endpoint_chain(port: str, protocol: str, endpoint: str) -> str:
    """The chain that rewrites the destination. endpoint: `10.244.1.5:80` or `[fd00::5]:80`."""
    return "KUBE-SEP-" + short_hash(port + protocol + endpoint, 16)
