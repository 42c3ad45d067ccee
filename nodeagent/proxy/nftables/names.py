"""The names in the table `kube-proxy`: upstream's (pkg/proxy/nftables), hashes included, so that people find them."""

from __future__ import annotations

from typing import NamedTuple

from nodeagent.proxy.hashes import short_hash
from nodeagent.proxy.services import Endpoint, ServicePort

TABLE = "kube-proxy"

SERVICES = "services"
SERVICE_ENDPOINTS_CHECK = "service-endpoints-check"
NODEPORT_ENDPOINTS_CHECK = "nodeport-endpoints-check"
CLUSTER_IPS_CHECK = "cluster-ips-check"
FIREWALL_CHECK = "firewall-check"
REJECT = "reject-chain"
MARK_MASQ = "mark-for-masquerade"
MASQUERADING = "masquerading"
# Not upstream's: what an ip-masq-agent does on other clusters (pods' traffic to the outside gets the node's address).
POD_MASQUERADE = "kubelab-pod-masquerade"

# Nor this: an empty chain whose name tells what was last written, for a process that starts later.
WRITTEN = "kubelab-written-"

SERVICE_IPS = "service-ips"
SERVICE_NODEPORTS = "service-nodeports"
NO_ENDPOINT_SERVICES = "no-endpoint-services"
NO_ENDPOINT_NODEPORTS = "no-endpoint-nodeports"
FIREWALL_IPS = "firewall-ips"
CLUSTER_IPS = "cluster-ips"
NODEPORT_IPS = "nodeport-ips"

_AFFINITY = "affinity-"
_LONGEST = 240  # characters behind a prefix of at most 16: the kernel's names have up to 255


class PortChains(NamedTuple):
    """The chains of one service port: `service-ULMVA6XW-ns1/svc1/tcp/p80` and its like.

    cluster: picks among all endpoints. local: among those on this node. external: for what came to a node port, an
    external IP or a load balancer's IP. firewall: drops what is outside of a load balancer's source ranges.
    """

    cluster: str
    local: str
    external: str
    firewall: str


def port_chains(port: ServicePort) -> PortChains:
    name = _hashed(_port(port))
    return PortChains(f"service-{name}", f"local-{name}", f"external-{name}", f"firewall-{name}")


def endpoint_chain(port: ServicePort, endpoint: Endpoint) -> str:
    """The chain that rewrites the destination: `endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80`."""
    return "endpoint-" + _hashed(_endpoint(port, endpoint))


def affinity_set(port: ServicePort, endpoint: Endpoint) -> str:
    """The set of the clients that an endpoint keeps."""
    return _AFFINITY + _hashed(_endpoint(port, endpoint))


def is_service_chain(chain: str) -> bool:
    """Whether it belongs to one service port or one endpoint of it; no other has a slash."""
    return "/" in chain


def is_affinity_set(name: str) -> bool:
    return name.startswith(_AFFINITY)


def _port(port: ServicePort) -> str:
    return f"{port.namespace}/{port.service}/{port.protocol}/{port.port_name}"


def _endpoint(port: ServicePort, endpoint: Endpoint) -> str:
    # A name may hold no colon.
    return f"{_port(port)}__{endpoint.ip.replace(':', '.')}/{endpoint.port}"


def _hashed(name: str) -> str:
    name = f"{short_hash(name, 8)}-{name}"
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
