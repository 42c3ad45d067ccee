"""Endpoints (pkg/apis/core/validation)."""

from apimachinery.api.validation.checks import (
    Object,
    dns_label,
    dns_subdomain,
    ip,
    one_of,
    ordinary_ip,
    qualified_name,
    sentences,
)
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, required

_PROTOCOLS = ("SCTP", "TCP", "UDP")


def endpoints(obj: Object) -> list[Problem]:
    """Addresses and ports of each subset."""
    problems: list[Problem] = []
    for position, subset in enumerate(obj.get("subsets") or ()):
        where = Path("subsets").index(position)
        ready, waiting = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
        if not ready and not waiting:
            problems.append(required(where, "must specify `addresses` or `notReadyAddresses`"))
        for field, addresses in (("addresses", ready), ("notReadyAddresses", waiting)):
            for index, address in enumerate(addresses):
                problems += _address(address, where.child(field).index(index))
        ports = subset.get("ports") or []
        for index, port in enumerate(ports):
            problems += _port(port, len(ports) > 1, where.child("ports").index(index))
    return problems


def _address(address: Object, path: Path) -> list[Problem]:
    text = address.get("ip", "")
    problems = ip(text, path.child("ip"))
    if address.get("hostname"):
        problems += dns_label(address["hostname"], path.child("hostname"))
    if address.get("nodeName") is not None:
        problems += dns_subdomain(address["nodeName"], path.child("nodeName"))
    return problems + ordinary_ip(text, path.child("ip"))


def _port(port: Object, need_name: bool, path: Path) -> list[Problem]:
    name, number = port.get("name"), port.get("port") or 0
    problems: list[Problem] = []
    if name:
        problems += dns_label(name, path.child("name"))
    elif need_name:
        problems.append(required(path.child("name")))
    problems += sentences(names.port_number(number), number, path.child("port"))
    problems += one_of(port.get("protocol"), _PROTOCOLS, path.child("protocol"))
    if port.get("appProtocol") is not None:
        problems += qualified_name(port["appProtocol"], path.child("appProtocol"))
    return problems
