"""Services, endpoints, slices, ingresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.kit import net_words
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

_SHOWN = 3


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
                found.append(net_words.joined(address["ip"], port["port"]) if port.get("port") else address["ip"])
    # Subsets without one that is ready leave it empty, as upstream.
    return [name(obj), _some(found) if obj.get("subsets") else NONE, age(obj, now)]


def _some(found: list[str]) -> str:
    more = len(found) - _SHOWN
    return ",".join(found[:_SHOWN]) + (f" + {more} more..." if more > 0 else "")


def print_slice(obj: Object, now: datetime) -> list[Cell]:
    numbers = [_port(port) for port in obj.get("ports") or []]
    addresses = [address for each in obj.get("endpoints") or [] for address in each.get("addresses") or []]
    return [
        name(obj),
        obj.get("addressType") or "",
        _some(numbers) or UNSET,
        _some(addresses) or UNSET,
        age(obj, now),
    ]


def _port(port: Any) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return "*" if port.get("name") is None else str(port["name"])


def print_ingress(obj: Object, now: datetime) -> list[Cell]:
    return [
        name(obj),
        spec(obj).get("ingressClassName") or NONE,
        _hosts([rule.get("host") or "" for rule in spec(obj).get("rules") or []]),
        ",".join(_balancers(obj)),
        "80, 443" if spec(obj).get("tls") else "80",
        age(obj, now),
    ]


def _hosts(hosts: list[str]) -> str:
    """Those of the rules that name one. Once there are three, every rule behind them is more, with a host or not, and
    those without one before them are counted too, as upstream."""
    at = [position for position, host in enumerate(hosts) if host][:_SHOWN]
    shown = ",".join(hosts[position] for position in at) or "*"
    ended = len(at) == _SHOWN and at[-1] < len(hosts) - 1
    return f"{shown} + {len(hosts) - _SHOWN} more..." if ended else shown


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
