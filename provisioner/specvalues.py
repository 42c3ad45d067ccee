"""The values of a lab file: each function reads one node, and raises ``ValueError`` with what is wrong with it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import yaml

from provisioner.spec import MIB, Network, NetworkV6

GIB = 1024 * MIB
E = TypeVar("E", bound=StrEnum)
A = TypeVar("A", ipaddress.IPv4Address, ipaddress.IPv6Address)

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SIZE = re.compile(r"(\d+)(Mi|Gi)B?")


def scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("must be a single value")
    return str(node.value)


def whole_number(node: yaml.Node) -> int:
    text = scalar(node)
    if not re.fullmatch(r"-?\d+", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def yes_or_no(node: yaml.Node) -> bool:
    text = scalar(node)
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


def number_of(node: yaml.Node) -> int:
    number = whole_number(node)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


def vcpus(node: yaml.Node) -> int:
    number = whole_number(node)
    if not 1 <= number <= 64:
        raise ValueError(f"{number} is not between 1 and 64")
    return number


def size_in_bytes(node: yaml.Node) -> int:
    text = scalar(node)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 1280Mi or 2Gi")
    size = int(match[1]) * (GIB if match[2] == "Gi" else MIB)
    if size == 0:
        raise ValueError("must be more than nothing")
    return size


def lab_name(node: yaml.Node) -> str:
    text = scalar(node)
    if not _LABEL.fullmatch(text) or len(text) > 20:
        raise ValueError(f"{text!r} must be at most 20 of a-z, 0-9 and '-', begin with a letter and not end with '-'")
    return text


def dns_domain(node: yaml.Node) -> str:
    text = scalar(node)
    if len(text) > 100 or not all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in text.split(".")):
        raise ValueError(f"{text!r} is not a DNS domain")
    return text


def choice(kind: type[E]) -> Callable[[yaml.Node], E]:
    def convert(node: yaml.Node) -> E:
        text = scalar(node)
        if text not in list(kind):
            raise ValueError(f"{text!r} is not one of {', '.join(kind)}")
        return kind(text)

    return convert


def network_v6(node: yaml.Node) -> NetworkV6:
    """A unique local network (RFC 4193) with room for machines and balancers."""
    return _unique_local(node, 64, 112, "fd00:60::/64")


def cidr_v6(node: yaml.Node) -> NetworkV6:
    """A unique local network (RFC 4193) with room for a /64 for each node, and for 65,536 of them at most."""
    return _unique_local(node, 48, 60, "fd00:244::/48")


def service_cidr_v6(node: yaml.Node) -> NetworkV6:
    """A unique local network (RFC 4193) of at most 2^20 addresses, which is what an API server takes."""
    return _unique_local(node, 108, 120, "fd00:10:96::/112")


def _unique_local(node: yaml.Node, least: int, most: int, example: str) -> NetworkV6:
    text = scalar(node)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(str(error)) from None
        network = None
    if not isinstance(network, NetworkV6) or "/" not in text:
        raise ValueError(f"{text!r} is not an IPv6 network such as {example}")
    if not network.subnet_of(NetworkV6("fc00::/7")):
        raise ValueError(f"{text} is not within fc00::/7 (RFC 4193): its addresses belong to others")
    if not least <= network.prefixlen <= most:
        raise ValueError(f"{text}: the prefix length must be between {least} and {most}")
    return network


def zones(node: yaml.Node) -> int:
    number = whole_number(node)
    if not 1 <= number <= 26:
        raise ValueError(f"{number} is not between 1 and 26")
    return number


def address_range(node: yaml.Node) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """FIRST-LAST, both included, at most 1024 addresses."""
    return _range(node, ipaddress.IPv4Address, "192.168.60.200-192.168.60.219")


def address_range_v6(node: yaml.Node) -> tuple[ipaddress.IPv6Address, ipaddress.IPv6Address]:
    """The same of IPv6."""
    return _range(node, ipaddress.IPv6Address, "fd00:60::200-fd00:60::219")


def _range(node: yaml.Node, parse: Callable[[str], A], example: str) -> tuple[A, A]:
    text = scalar(node)
    try:
        first, last = (parse(part.strip()) for part in text.split("-"))
    except ValueError:
        raise ValueError(f"{text!r} is not a range such as {example}") from None
    if int(first) > int(last):
        raise ValueError(f"{text}: it ends before it begins")
    if int(last) - int(first) >= 1024:
        raise ValueError(f"{text}: more than 1024 addresses")
    return first, last


def cidr(shortest: int, longest: int) -> Callable[[yaml.Node], Network]:
    """IPv4 networks whose prefix length is between the two."""

    def convert(node: yaml.Node) -> Network:
        text = scalar(node)
        if "/" not in text:
            raise ValueError(f"{text!r} is not a network such as 10.0.0.0/16")
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(str(error)) from None
        if not isinstance(network, Network):
            raise ValueError(f"{text} is IPv6, which goes beside it: the key that ends with v6")
        if not network.is_private:
            raise ValueError(f"{text} is not a private network (RFC 1918): its addresses belong to others")
        if not shortest <= network.prefixlen <= longest:
            raise ValueError(f"{text}: the prefix length must be between {shortest} and {longest}")
        return network

    return convert
