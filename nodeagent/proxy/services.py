"""Services and EndpointSlices of the API → what the proxy needs of them. Pure.

What does not parse is left out, part by part: an address or a name that came from outside never reaches a rule
unchecked, because rules are text.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from apimachinery.meta.addresses import parse_ip, plain_network
from apimachinery.meta.endpoints import HEADLESS, SERVICE_NAME

Object = dict[str, Any]

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"

_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_DEFAULT_STICKY_SECONDS = 10800
_NO_ZONES: frozenset[str] = frozenset()
_NO_CONDITIONS: Mapping[str, Any] = {}
# The first bytes of the IPv4 addresses that are no endpoint's; the others, which are nearly all, need no closer look.
_SUSPECT = frozenset(str(first) for first in (0, 127, 169, *range(224, 240)))


class Endpoint(NamedTuple):
    """One address and port behind a service port. `zones`: those it was hinted for (EndpointSlice hints).

    A tuple, because there are many: made and hashed at a third of a data class's cost.
    """

    ip: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    zones: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class ServicePort(NamedTuple):
    """One port of a Service. name: `namespace/name:port`, or `namespace/name`; protocol: in small letters.

    A tuple for the reason that an Endpoint is one.
    """

    name: str
    namespace: str
    service: str
    port_name: str
    protocol: str
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    sticky_seconds: int = 0
    external_local: bool = False
    internal_local: bool = False
    health_check_port: int = 0

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.external_ips or self.balancer_ips)

    def lets_in(self, ip: str) -> bool:
        """Whether an address is within the source ranges; never for an empty text."""
        address = ipaddress.ip_address(ip) if ip else None
        return address is not None and any(address in ipaddress.ip_network(cidr) for cidr in self.source_ranges)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """Of an external policy Local, pods and the node itself are still served by all endpoints."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.externally_accessible)


def service_ports(service: Object, family: int) -> list[ServicePort]:
    """The ports that a Service has in one address family (4 or 6); none for one that is not ours to proxy."""
    metadata, spec = service["metadata"], service.get("spec") or {}
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    if not _is_name(namespace) or not _is_name(name):
        return []
    labels = metadata.get("labels") or {}
    if PROXY_NAME_LABEL in labels or HEADLESS in labels or spec.get("type") == "ExternalName":
        return []
    cluster_ips = _addresses(spec.get("clusterIPs") or [spec.get("clusterIP")], family)
    if not cluster_ips:
        return []
    shared = _shared(service, family)
    found = []
    for port in spec.get("ports") or []:
        port_name = port.get("name") or ""
        protocol = _PROTOCOLS.get(str(port.get("protocol") or "TCP"))
        if protocol is None or not _is_port(port.get("port")) or (port_name and not _is_name(port_name)):
            continue
        full_name = f"{namespace}/{name}:{port_name}" if port_name else f"{namespace}/{name}"
        node_port = number if (number := port.get("nodePort")) and _is_port(number) else 0
        found.append(
            ServicePort(
                full_name, namespace, name, port_name, protocol, cluster_ips[0], port["port"], node_port, *shared
            )
        )
    return found


def _shared(service: Object, family: int) -> tuple[Any, ...]:
    """What all ports of a Service have in common: the last fields of a ServicePort. Most Services have none of it."""
    spec = service.get("spec") or {}
    external_ips, ranges = spec.get("externalIPs"), spec.get("loadBalancerSourceRanges")
    local = spec.get("externalTrafficPolicy") == "Local"
    health = spec.get("healthCheckNodePort") if local else None
    return (
        tuple(_addresses(external_ips, family)) if external_ips else (),
        _balancer_ips(service, family) if spec.get("type") == "LoadBalancer" else (),
        tuple(_networks(ranges, family)) if ranges else (),
        _sticky_seconds(spec) if spec.get("sessionAffinity") == "ClientIP" else 0,
        local,
        spec.get("internalTrafficPolicy") == "Local",
        health if _is_port(health) else 0,
    )


def _balancer_ips(service: Object, family: int) -> tuple[str, ...]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    # ipMode Proxy: the balancer wants to be passed through, not short-circuited (KEP-1860).
    return tuple(_addresses([entry.get("ip") for entry in ingress if entry.get("ipMode", "VIP") == "VIP"], family))


def _sticky_seconds(spec: Object) -> int:
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    return seconds if type(seconds) is int and 0 < seconds <= 86400 else _DEFAULT_STICKY_SECONDS


def slice_service(endpoint_slice: Object) -> str | None:
    """The key `namespace/name` of the Service that a slice belongs to; None when it is not for a proxy."""
    metadata = endpoint_slice["metadata"]
    labels = metadata.get("labels") or {}
    name = labels.get(SERVICE_NAME)
    if not name or HEADLESS in labels or PROXY_NAME_LABEL in labels:
        return None
    return f"{metadata.get('namespace', '')}/{name}"


def endpoints(slices: Iterable[Object], node: str, family: int) -> dict[tuple[str, str], list[Endpoint]]:
    """The endpoints of a Service by (port name, protocol), sorted, each address and port once.

    An address that is in two slices counts once; the ready one wins (the API's advice for readers of slices), and of
    two that are equal in this the one that is said to be on this node.
    """
    found: dict[tuple[str, str], dict[str, Endpoint]] = {}
    for endpoint_slice in sorted(slices, key=lambda one: str(one["metadata"].get("name"))):
        if endpoint_slice.get("addressType") != f"IPv{family}":
            continue
        for port in endpoint_slice.get("ports") or []:
            protocol = _PROTOCOLS.get(str(port.get("protocol") or "TCP"))
            number = port.get("port")
            if protocol is None or not _is_port(number):
                continue
            group = found.setdefault((port.get("name") or "", protocol), {})
            for entry in endpoint_slice.get("endpoints") or ():
                endpoint = _endpoint(entry, number, node, family)
                if endpoint is None:
                    continue
                known = group.setdefault(text := str(endpoint), endpoint)
                if known is not endpoint and (endpoint.ready, endpoint.local) > (known.ready, known.local):
                    group[text] = endpoint
    return {key: [group[name] for name in sorted(group)] for key, group in found.items()}


def _endpoint(entry: Mapping[str, Any], port: int, node: str, family: int) -> Endpoint | None:
    addresses = entry.get("addresses")
    ip = _address(addresses[0], family) if addresses else None
    if ip is None or ((":" in ip or ip.partition(".")[0] in _SUSPECT) and _is_no_endpoint(ip)):
        return None
    conditions = entry.get("conditions") or _NO_CONDITIONS
    # What is not said is true of ready and of serving, each by itself, as upstream's proxy has it.
    ready, serving = conditions.get("ready") is not False, conditions.get("serving") is not False
    hints = entry.get("hints")
    zones = frozenset([str(zone.get("name")) for zone in hints.get("forZones") or ()]) if hints else _NO_ZONES
    local = entry.get("nodeName") == node
    return Endpoint(ip, port, ready, serving, bool(conditions.get("terminating")), local, zones)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _address(text: object, family: int) -> str | None:
    """In the one form that everybody writes it in; None for what is no address of the family."""
    text = str(text)
    try:
        if family == 4:
            return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        pass  # not in its usual form: the API server lets `010.0.0.1` in, and what is let in has to be served
    parsed = parse_ip(text)
    return str(parsed) if parsed is not None and parsed.version == family else None


def _is_no_endpoint(ip: str) -> bool:
    """Loopback and link-local: a way into the node's own services for whoever may write slices (CVE-2021-25737)."""
    parsed = ipaddress.ip_address(ip)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed  # ::ffff:127.0.0.1, at which older Pythons do not look
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast


def _addresses(texts: Iterable[object], family: int) -> list[str]:
    return [ip for text in texts if (ip := _address(text, family)) is not None]


def _networks(texts: Iterable[object], family: int) -> list[str]:
    found = [plain_network(str(text).strip()) for text in texts]
    return [str(network) for network in found if network is not None and network.version == family]
