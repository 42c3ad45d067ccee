"""EndpointSlices (pkg/apis/discovery/validation)."""

from typing import Any

from apimachinery.api.validation.checks import (
    Object,
    dns_label,
    dns_subdomain,
    immutable,
    labels,
    one_of,
    ordinary_ip,
    qualified_name,
    sentences,
)
from apimachinery.api.validation.syntax import domain_name
from apimachinery.meta import names
from apimachinery.meta.addresses import parse_ip
from apimachinery.meta.paths import Path, Problem, duplicate, internal, invalid, not_supported, required, too_many

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_PORTS = 20000
_MAX_ZONES = 8
_MAX_TOPOLOGY = 16
_ZONE = "topology.kubernetes.io/zone"


def endpoint_slice(obj: Object) -> list[Problem]:
    """Addresses of one type, at most 1000 endpoints and 20000 ports."""
    kind = obj.get("addressType", "")
    problems = one_of(kind, _TYPES, Path("addressType"))
    found, path = obj.get("endpoints") or [], Path("endpoints")
    if len(found) > 1000:
        problems.append(too_many(path, len(found), 1000))
    else:
        for position, endpoint in enumerate(found):
            problems += _endpoint(endpoint, kind, path.index(position))
    return problems + _ports(obj)


def endpoint_slice_update(new: Object, old: Object) -> list[Problem]:
    """The type of the addresses stays."""
    return immutable(new.get("addressType", ""), old.get("addressType", ""), Path("addressType"))


def _endpoint(endpoint: Object, kind: str, path: Path) -> list[Problem]:
    addresses, where = endpoint.get("addresses") or [], path.child("addresses")
    problems: list[Problem] = []
    if not addresses:
        problems.append(required(where, "must contain at least 1 address"))
    elif len(addresses) > 100:
        problems.append(too_many(where, len(addresses), 100))
    for position, text in enumerate(addresses):
        place = where.index(position)
        if kind == "FQDN":
            problems += domain_name(text, place)
        elif kind in ("IPv4", "IPv6"):
            address = parse_ip(text)
            if address is None or address.version != int(kind[-1]):
                problems.append(invalid(place, text, f"must be a valid {kind} address"))
            problems += ordinary_ip(text, place)
    if endpoint.get("nodeName") is not None:
        problems += dns_subdomain(endpoint["nodeName"], path.child("nodeName"))
    topology, where = endpoint.get("deprecatedTopology") or {}, path.child("deprecatedTopology")
    if len(topology) > _MAX_TOPOLOGY:
        problems.append(too_many(where, len(topology), _MAX_TOPOLOGY))
    problems += labels(topology, where)
    if _ZONE in topology:
        problems.append(internal(where.key(_ZONE), "reserved key was not removed in conversion"))
    if endpoint.get("hostname") is not None:
        problems += dns_label(endpoint["hostname"], path.child("hostname"))
    zones, where = (endpoint.get("hints") or {}).get("forZones") or [], path.child("hints", "forZones")
    if len(zones) > _MAX_ZONES:
        return [*problems, too_many(where, len(zones), _MAX_ZONES)]
    return problems + [problem for position in range(len(zones)) for problem in _zone(zones, position, where)]


def _zone(zones: list[dict[str, Any]], position: int, path: Path) -> list[Problem]:
    name, where = zones[position].get("name", ""), path.index(position).child("name")
    again = any(each.get("name", "") == name for each in zones[:position])
    return ([duplicate(where, name)] if again else []) + sentences(names.label_value(name), name, where)


def _ports(obj: Object) -> list[Problem]:
    ports, path = obj.get("ports") or [], Path("ports")
    if len(ports) > _MAX_PORTS:
        return [too_many(path, len(ports), _MAX_PORTS)]
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, port in enumerate(ports):
        where, name, protocol = path.index(position), port.get("name") or "", port.get("protocol")
        if name:
            problems += dns_label(name, where.child("name"))
        if name in seen:
            problems.append(duplicate(where.child("name"), name))
        seen.add(name)
        if protocol is None:
            problems.append(required(where.child("protocol")))
        elif protocol not in _PROTOCOLS:
            problems.append(not_supported(where.child("protocol"), protocol, _PROTOCOLS))
        if port.get("appProtocol") is not None:
            problems += qualified_name(port["appProtocol"], where.child("appProtocol"))
    return problems
