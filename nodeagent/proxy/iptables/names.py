"""The names of kube-proxy's chains. Hashes are upstream's (pkg/proxy/iptables), so that people find the same names."""

from __future__ import annotations

import functools

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


def cluster_chain(port: str, protocol: str) -> str:
    """The chain that picks among all endpoints. port: `namespace/name:port`; protocol: in small letters."""
    return "KUBE-SVC-" + _hash(port + protocol)


def local_chain(port: str, protocol: str) -> str:
    """The chain that picks among the endpoints on this node."""
    return "KUBE-SVL-" + _hash(port + protocol)


def external_chain(port: str, protocol: str) -> str:
    """The chain for what came to a node port, an external IP or a load balancer's IP."""
    return "KUBE-EXT-" + _hash(port + protocol)


def firewall_chain(port: str, protocol: str) -> str:
    """The chain that lets the source ranges of a load balancer through."""
    return "KUBE-FW-" + _hash(port + protocol)


def endpoint_chain(port: str, protocol: str, endpoint: str) -> str:
    """The chain that rewrites the destination. endpoint: `10.244.1.5:80` or `[fd00::5]:80`."""
    return "KUBE-SEP-" + _hash(port + protocol + endpoint)


@functools.lru_cache(maxsize=1)
def _hash(text: str) -> str:
    """The chains of one port have one hash, and are asked for one after the other."""
    return short_hash(text, 16)
