"""IP addresses and networks (Kubernetes' library.IP and library.CIDR)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import overload
from controlplane.apiserver.cel.values import Opaque

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class Ip(Opaque):
    """One address."""

    address: Address
    cel_name: ClassVar[str] = "net.IP"


@dataclass(frozen=True, slots=True)
class Cidr(Opaque):
    """An address with a prefix length; host bits may be set."""

    interface: Interface
    cel_name: ClassVar[str] = "net.CIDR"


def _ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise CelError(f"IP Address {_quoted(text)} parse error during conversion from string") from None
    if "%" in text:
        raise CelError("IP address with zone value is not allowed")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise CelError("IPv4-mapped IPv6 address is not allowed")
    return Ip(address)


def _cidr(text: str) -> Cidr:
    if not re.fullmatch(r"[0-9A-Fa-f.:]+/(0|[1-9][0-9]*)", text):
        raise CelError(f"network address parse error during conversion from string: {_quoted(text)}")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise CelError(f"network address parse error during conversion from string: {_quoted(text)}") from None
    if isinstance(interface, ipaddress.IPv6Interface) and interface.ip.ipv4_mapped is not None:
        raise CelError("IPv4-mapped IPv6 address is not allowed")
    return Cidr(interface)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _valid(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except CelError:
            return False
        return True

    return check


def _link_local_multicast(ip: Ip) -> bool:
    network = "224.0.0.0/24" if ip.address.version == 4 else "ff02::/16"
    return ip.address in ipaddress.ip_network(network)


def _global_unicast(ip: Ip) -> bool:
    # Go's IsGlobalUnicast: private addresses count.
    address = ip.address
    broadcast = address.version == 4 and int(address) == 2**32 - 1
    outside = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (broadcast or outside)


def _contains(cidr: Cidr, address: Address) -> bool:
    network = cidr.interface.network
    return network.version == address.version and address in network


def _contains_cidr(cidr: Cidr, other: Cidr) -> bool:
    outer, inner = cidr.interface.network, other.interface.network
    if outer.version != inner.version or outer.prefixlen > inner.prefixlen:
        return False
    return other.interface.ip in outer


FUNCTIONS = [
    overload("ip(string): IP", _ip, 0.1),
    overload("isIP(string): bool", _valid(_ip), 0.1),
    overload("ip.isCanonical(string): bool", lambda text: str(_ip(text).address) == text, 0.2),
    overload("IP.family(): int", lambda ip: ip.address.version),
    overload("IP.isUnspecified(): bool", lambda ip: ip.address.is_unspecified),
    overload("IP.isLoopback(): bool", lambda ip: ip.address.is_loopback),
    overload("IP.isLinkLocalMulticast(): bool", _link_local_multicast),
    overload("IP.isLinkLocalUnicast(): bool", lambda ip: ip.address.is_link_local),
    overload("IP.isGlobalUnicast(): bool", _global_unicast),
    overload("string(IP): string", lambda ip: str(ip.address)),
    overload("cidr(string): CIDR", _cidr, 0.1),
    overload("isCIDR(string): bool", _valid(_cidr), 0.1),
    overload("CIDR.containsIP(string): bool", lambda cidr, text: _contains(cidr, _ip(text).address), 0.1),
    overload("CIDR.containsIP(IP): bool", lambda cidr, ip: _contains(cidr, ip.address)),
    overload("CIDR.containsCIDR(string): bool", lambda cidr, text: _contains_cidr(cidr, _cidr(text)), 0.1),
    overload("CIDR.containsCIDR(CIDR): bool", _contains_cidr),
    overload("CIDR.ip(): IP", lambda cidr: Ip(cidr.interface.ip)),
    overload("CIDR.masked(): CIDR", lambda cidr: Cidr(ipaddress.ip_interface(str(cidr.interface.network)))),
    overload("CIDR.prefixLength(): int", lambda cidr: cidr.interface.network.prefixlen),
    overload("string(CIDR): string", lambda cidr: str(cidr.interface)),
]
