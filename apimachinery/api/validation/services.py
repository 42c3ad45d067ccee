"""Services (pkg/apis/core/validation)."""

from typing import Any

from apimachinery.api.validation.checks import (
    Object,
    cidr,
    dns_label,
    dns_subdomain,
    ip,
    labels,
    one_of,
    ordinary_ip,
    port_or_name,
    qualified_name,
    sentences,
)
from apimachinery.api.validation.service_addresses import addresses_update, cluster_addresses, is_headless
from apimachinery.api.validation.syntax import load_balancer_ingress
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, Verbatim, duplicate, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_MAX_STICKY = 86400
_KUBELET_PORT = 10250
_KUBELET_TEXT = f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def service(obj: Object) -> list[Problem]:
    """A Service's spec, its addresses and ports as allocated or asked for."""
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type", ""), spec.get("ports") or []
    headless = is_headless(spec)
    problems = _topology(obj)
    if not ports and not headless and kind != "ExternalName":
        problems.append(required(_SPEC.child("ports")))
    if kind == "LoadBalancer":
        problems += [
            invalid(_SPEC.child("ports").index(position), _KUBELET_PORT, _KUBELET_TEXT)
            for position, port in enumerate(ports)
            if port.get("port") == _KUBELET_PORT
        ]
    if headless and kind in ("LoadBalancer", "NodePort"):
        text = f"may not be set to 'None' for {kind} services"
        problems.append(invalid(_SPEC.child("clusterIPs").index(0), "None", text))
    if kind == "ExternalName":
        problems += _external_name(spec)
    seen: set[str] = set()
    for position, port in enumerate(ports):
        problems += _port(port, len(ports) > 1, seen, _SPEC.child("ports").index(position))
    problems += labels(spec.get("selector"), _SPEC.child("selector"))
    problems += one_of(spec.get("sessionAffinity"), ("ClientIP", "None"), _SPEC.child("sessionAffinity"))
    problems += _affinity(spec)
    if kind != "ExternalName":
        problems += cluster_addresses(spec)
    for position, text in enumerate(spec.get("externalIPs") or ()):
        where = _SPEC.child("externalIPs").index(position)
        problems += ip(text, where) or ordinary_ip(text, where)
    problems += one_of(kind, _TYPES, _SPEC.child("type"))
    problems += _unique_ports(ports, kind)
    problems += _load_balancer(obj, spec, kind)
    return problems + _traffic(spec, kind)


def _annotations(obj: Object) -> Object:
    return (obj.get("metadata") or {}).get("annotations") or {}


def _topology(obj: Object) -> list[Problem]:
    found = _annotations(obj)
    if _MODE not in found or _HINTS not in found or found[_MODE] == found[_HINTS]:
        return []
    text = f"must match annotations[{_HINTS}] when both are specified"
    return [invalid(Path("metadata.annotations").key(_MODE), found[_MODE], text)]


def _external_name(spec: Object) -> list[Problem]:
    problems = [
        forbidden(_SPEC.child(name), "may not be set for ExternalName services")
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(name)
    ]
    name = spec.get("externalName", "").removesuffix(".")
    where = _SPEC.child("externalName")
    return problems + (dns_subdomain(name, where) if name else [required(where)])


def _port(port: Object, need_name: bool, seen: set[str], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    name = port.get("name", "")
    if name:
        problems += dns_label(name, path.child("name"))
        if name in seen:
            problems.append(duplicate(path.child("name"), name))
        seen.add(name)
    elif need_name:
        problems.append(required(path.child("name")))
    number = port.get("port") or 0
    problems += sentences(names.port_number(number), number, path.child("port"))
    problems += one_of(port.get("protocol"), _PROTOCOLS, path.child("protocol"))
    problems += port_or_name(port.get("targetPort"), path.child("targetPort"))
    if port.get("appProtocol") is not None:
        problems += qualified_name(port["appProtocol"], path.child("appProtocol"))
    return problems


def _affinity(spec: Object) -> list[Problem]:
    config, path = spec.get("sessionAffinityConfig"), _SPEC.child("sessionAffinityConfig")
    if spec.get("sessionAffinity") == "None":
        text = "must not be set when session affinity is None"
        return [] if config is None else [forbidden(path, text)]
    if spec.get("sessionAffinity") != "ClientIP":
        return []
    text = "when session affinity type is ClientIP"
    if config is None:
        return [required(path, text)]
    if config.get("clientIP") is None:
        return [required(path.child("clientIP"), text)]
    seconds, where = config["clientIP"].get("timeoutSeconds"), path.child("clientIP").child("timeoutSeconds")
    if seconds is None:
        return [required(where, text)]
    if not 0 < seconds <= _MAX_STICKY:
        return [invalid(where, seconds, f"must be greater than 0 and less than {_MAX_STICKY}")]
    return []


def _go_port(protocol: str, port: int) -> Verbatim:
    return Verbatim(
        f'core.ServicePort{{Name:"", Protocol:"{protocol}", AppProtocol:(*string)(nil), Port:{port}, '
        'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}'
    )


def _unique_ports(ports: list[dict[str, Any]], kind: str) -> list[Problem]:
    problems: list[Problem] = []
    for position, port in enumerate(ports):
        where = _SPEC.child("ports").index(position).child("nodePort")
        if kind == "ClusterIP" and port.get("nodePort"):
            problems.append(forbidden(where, "may not be used when `type` is 'ClusterIP'"))
    for field in ("nodePort", "port"):
        seen: set[tuple[Any, Any]] = set()
        for position, port in enumerate(ports):
            key = (port.get("protocol"), port.get(field) or 0)
            if field == "nodePort" and not key[1]:
                continue
            if key in seen:
                where = _SPEC.child("ports").index(position)
                same = (
                    duplicate(where.child(field), key[1]) if field == "nodePort" else duplicate(where, _go_port(*key))
                )
                problems.append(same)
            seen.add(key)
    return problems


def _load_balancer(obj: Object, spec: Object, kind: str) -> list[Problem]:
    problems: list[Problem] = []
    only = "may only be used when `type` is 'LoadBalancer'"
    ranges, path = spec.get("loadBalancerSourceRanges") or [], _SPEC.child("LoadBalancerSourceRanges")
    annotated = _annotations(obj).get(_RANGES)
    noted = Path("metadata.annotations").key(_RANGES)
    if kind != "LoadBalancer" and (ranges or annotated is not None):
        problems.append(forbidden(path if ranges else noted, only))
    for position, text in enumerate(ranges):
        problems += cidr(text.strip(), path.index(position))
    if not ranges and annotated and annotated.strip():
        for text in annotated.split(","):
            problems += cidr(text.strip(), noted)
    allocate = spec.get("allocateLoadBalancerNodePorts")
    if allocate is not None and kind != "LoadBalancer":
        problems.append(forbidden(_SPEC.child("allocateLoadBalancerNodePorts"), only))
    if allocate is None and kind == "LoadBalancer":
        problems.append(required(Path("allocateLoadBalancerNodePorts")))
    balancer = spec.get("loadBalancerClass")
    if balancer is not None:
        if kind != "LoadBalancer":
            problems.append(forbidden(_SPEC.child("loadBalancerClass"), only))
        else:
            problems += qualified_name(balancer, _SPEC.child("loadBalancerClass"))
    return problems


def externally_accessible(spec: Object) -> bool:
    """True when clients outside the cluster may reach the Service by way of the nodes."""
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Object) -> bool:
    """True for a LoadBalancer that keeps traffic on the node it reaches: it has a health-check node port."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _traffic(spec: Object, kind: str) -> list[Problem]:
    problems: list[Problem] = []
    external, path = spec.get("externalTrafficPolicy"), _SPEC.child("externalTrafficPolicy")
    if externally_accessible(spec):
        problems += one_of(external, _POLICIES, path)
    elif external:
        problems.append(invalid(path, external, "may only be set for externally-accessible services"))
    check, where = spec.get("healthCheckNodePort") or 0, _SPEC.child("healthCheckNodePort")
    if not needs_health_check(spec):
        if check:
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            problems.append(invalid(where, check, text))
    elif check:
        problems += sentences(names.port_number(check), check, where)
    else:
        problems.append(required(where))
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
            problems.append(required(_SPEC.child("internalTrafficPolicy")))
    elif internal not in _POLICIES:
        problems.append(not_supported(_SPEC.child("internalTrafficPolicy"), internal, _POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution != "PreferClose":
        problems.append(not_supported(_SPEC.child("trafficDistribution"), distribution, ("PreferClose",)))
    return problems


def service_update(new: Object, old: Object) -> list[Problem]:
    """An update of a Service: its primary address and family, class and health check stay while it has them."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    problems = addresses_update(spec, before)
    if spec.get("type") == before.get("type") == "LoadBalancer":
        balancer = spec.get("loadBalancerClass")
        if balancer != before.get("loadBalancerClass"):
            problems.append(invalid(_SPEC.child("loadBalancerClass"), balancer, "may not change once set"))
    if needs_health_check(spec) and needs_health_check(before):
        where = _SPEC.child("healthCheckNodePort")
        if spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
            problems.append(forbidden(where, "field is immutable"))
    return problems


def service_status_update(new: Object, old: Object) -> list[Problem]:
    """The addresses that a load balancer reports."""
    path = Path("status.loadBalancer.ingress")
    found = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if found and (new.get("spec") or {}).get("type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    return load_balancer_ingress(found, path, modes=True)
