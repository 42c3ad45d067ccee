"""Services and EndpointSlices of the API → what the proxy needs of them. Pure.

What does not parse is left out, part by part: an address or a name that came from outside never reaches a rule
unchecked, because rules are text.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from apimachinery.meta.endpoints import HEADLESS, SERVICE_NAME

Object = dict[str, Any]

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"

_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_DEFAULT_STICKY_SECONDS = 10800
_NO_ZONES: frozenset[str] = frozenset()
# How the IPv4 addresses begin that are no endpoint's; the others, which are nearly all, need no closer look.
_SUSPECT = ("0.", "127.", "169.254.", *(f"{first}." for first in range(224, 240)))


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


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. name: `namespace/name:port`, or `namespace/name`; protocol: in small letters."""

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
    if PROXY_NAME_LABEL in (metadata.get("labels") or {}) or spec.get("type") == "ExternalName":
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
        found.append(
            ServicePort(
                name=f"{namespace}/{name}:{port_name}" if port_name else f"{namespace}/{name}",
                namespace=namespace,
                service=name,
                port_name=port_name,
                protocol=protocol,
                cluster_ip=cluster_ips[0],
                port=port["port"],
                node_port=port["nodePort"] if _is_port(port.get("nodePort")) else 0,
                **shared,
            )
        )
    return found


def _shared(service: Object, family: int) -> dict[str, Any]:
    """What all ports of a Service have in common."""
    spec, status = service.get("spec") or {}, service.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    # ipMode Proxy: the balancer wants to be passed through, not short-circuited (KEP-1860).
    balancer = [entry.get("ip") for entry in ingress if entry.get("ipMode", "VIP") == "VIP"]
    affinity = spec.get("sessionAffinity") == "ClientIP"
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    local = spec.get("externalTrafficPolicy") == "Local"
    health = spec.get("healthCheckNodePort")
    return {
        "external_ips": tuple(_addresses(spec.get("externalIPs") or [], family)),
        "balancer_ips": tuple(_addresses(balancer, family)) if spec.get("type") == "LoadBalancer" else (),
        "source_ranges": tuple(_networks(spec.get("loadBalancerSourceRanges") or [], family)),
        "sticky_seconds": (seconds if type(seconds) is int and 0 < seconds <= 86400 else _DEFAULT_STICKY_SECONDS)
        if affinity
        else 0,
        "external_local": local,
        "internal_local": spec.get("internalTrafficPolicy") == "Local",
        "health_check_port": health if local and _is_port(health) else 0,
    }


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

    An address that is in two slices counts once; the ready one wins (the API's advice for readers of slices).
    """
    found: dict[tuple[str, str], dict[str, Endpoint]] = {}
    for endpoint_slice in sorted(slices, key=lambda one: str(one["metadata"].get("name"))):
        if endpoint_slice.get("addressType") != f"IPv{family}":
            continue
        for port in endpoint_slice.get("ports") or []:
            protocol = _PROTOCOLS.get(str(port.get("protocol") or "TCP"))
            if protocol is None or not _is_port(port.get("port")):
                continue
            group = found.setdefault((port.get("name") or "", protocol), {})
            for entry in endpoint_slice.get("endpoints") or []:
                endpoint = _endpoint(entry, port["port"], node, family)
                if endpoint is not None and ((text := str(endpoint)) not in group or endpoint.ready):
                    group[text] = endpoint
    return {key: [group[name] for name in sorted(group)] for key, group in found.items()}


def _endpoint(entry: Mapping[str, Any], port: int, node: str, family: int) -> Endpoint | None:
    ip = _address((entry.get("addresses") or [None])[0], family)
    if ip is None or _is_no_endpoint(ip):
        return None
    conditions = entry.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    zones = ((entry.get("hints") or {}).get("forZones")) or []
    return Endpoint(
        ip=ip,
        port=port,
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        local=entry.get("nodeName") == node,
        zones=frozenset([str(zone.get("name")) for zone in zones]) if zones else _NO_ZONES,
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _address(text: object, family: int) -> str | None:
    """In the one form that everybody writes it in; None for what is no address of the family."""
    text = str(text)
    try:
        if family == 4:
            return text if socket.inet_ntoa(socket.inet_pton(socket.AF_INET, text)) == text else None
        parsed = ipaddress.ip_address(text)
    except (OSError, ValueError):
        return None
    return str(parsed) if parsed.version == family and "%" not in text else None


def _is_no_endpoint(ip: str) -> bool:
    """Loopback and link-local: a way into the node's own services for whoever may write slices (CVE-2021-25737)."""
    if ":" not in ip and not ip.startswith(_SUSPECT):
        return False
    parsed = ipaddress.ip_address(ip)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed  # ::ffff:127.0.0.1, at which older Pythons do not look
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast


def _addresses(texts: Iterable[object], family: int) -> list[str]:
    return [ip for text in texts if (ip := _address(text, family)) is not None]


def _networks(texts: Iterable[object], family: int) -> list[str]:
    found = []
    for text in texts:
        try:
            parsed = ipaddress.ip_network(str(text).strip(), strict=False)
        except ValueError:
            continue
        if parsed.version == family:
            found.append(str(parsed))
    return found
