"""Services, endpoints, slices, ingresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.meta import labels
from controlplane.apiserver.tables.columns import (
    NONE,
    UNSET,
    Cell,
    Object,
    Printer,
    age,
    columns,
    format_labels,
    joined,
    name,
    spec,
    state,
)

_SHOWN_ENDPOINTS = 3


def print_service(obj: Object, now: datetime) -> list[Cell]:
    service = spec(obj)
    addresses = service.get("clusterIPs") or ([service["clusterIP"]] if service.get("clusterIP") else [])
    internal = addresses[0] if addresses else NONE
    ports = []
    for port in service.get("ports") or []:
        number = f"{port['port']}:{port['nodePort']}" if port.get("nodePort") else str(port["port"])
        ports.append(f"{number}/{port.get('protocol') or 'TCP'}")
    return [
        name(obj),
        service.get("type") or "ClusterIP",
        internal,
        _external(obj),
        joined(ports),
        age(obj, now),
        format_labels(service.get("selector")),
    ]


def _external(obj: Object) -> str:
    service = spec(obj)
    given = list(service.get("externalIPs") or [])
    match service.get("type"):
        case "ExternalName":
            return str(service.get("externalName") or "")
        case "LoadBalancer":
            return ",".join([*_balancers(obj), *given]) or "<pending>"
        case _:
            return joined(given)


def _balancers(obj: Object) -> list[str]:
    ingress = (state(obj).get("loadBalancer") or {}).get("ingress") or []
    return sorted({each.get("ip") or each.get("hostname") or "" for each in ingress} - {""})


def print_endpoints(obj: Object, now: datetime) -> list[Cell]:
    found: list[str] = []
    for subset in obj.get("subsets") or []:
        for port in subset.get("ports") or [{}]:
            for address in subset.get("addresses") or []:
                found.append(_host_port(address["ip"], port["port"]) if port.get("port") else address["ip"])
    return [name(obj), _some(found), age(obj, now)]


def _host_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _some(found: list[str]) -> str:
    if len(found) > _SHOWN_ENDPOINTS:
        return f"{','.join(found[:_SHOWN_ENDPOINTS])} + {len(found) - _SHOWN_ENDPOINTS} more..."
    return joined(found)


def print_slice(obj: Object, now: datetime) -> list[Cell]:
    numbers = [_port(port) for port in obj.get("ports") or []]
    shown = ",".join(numbers[:3]) + (f" + {len(numbers) - 3} more..." if len(numbers) > 3 else "")
    addresses = [address for each in obj.get("endpoints") or [] for address in each.get("addresses") or []]
    if obj.get("ports") is None:
        shown = UNSET
    return [name(obj), obj.get("addressType") or "", shown or UNSET, _slice_some(addresses), age(obj, now)]


def _port(port: Any) -> str:
    return str(port["port"]) if port.get("port") else port.get("name") or "*"


def _slice_some(found: list[str]) -> str:
    if not found:
        return UNSET
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "")


def print_ingress(obj: Object, now: datetime) -> list[Cell]:
    rules = spec(obj).get("rules") or []
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    more = f" + {len(rules) - 3} more..." if len(hosts) > 3 else ""
    return [
        name(obj),
        spec(obj).get("ingressClassName") or NONE,
        ",".join(hosts[:3]) + more or "*",
        ",".join(_balancers(obj)),
        "80, 443" if spec(obj).get("tls") else "80",
        age(obj, now),
    ]


def print_ingress_class(obj: Object, now: datetime) -> list[Cell]:
    parameters = spec(obj).get("parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    return [name(obj), spec(obj).get("controller") or "", shown, age(obj, now)]


def print_network_policy(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), labels.format_label_selector(spec(obj).get("podSelector")), age(obj, now)]


PRINTERS = {
    ("", "Service"): Printer(columns("Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector*"), print_service),
    ("", "Endpoints"): Printer(columns("Name, Endpoints, Age"), print_endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Printer(columns("Name, AddressType, Ports, Endpoints, Age"), print_slice),
    ("networking.k8s.io", "Ingress"): Printer(columns("Name, Class, Hosts, Address, Ports, Age"), print_ingress),
    ("networking.k8s.io", "IngressClass"): Printer(columns("Name, Controller, Parameters, Age"), print_ingress_class),
    ("networking.k8s.io", "NetworkPolicy"): Printer(columns("Name, Pod-Selector, Age"), print_network_policy),
}
