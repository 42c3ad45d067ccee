"""Names of addresses, and zones of networks: 4.3.2.1.in-addr.arpa (RFC 1035 section 3.5), ip6.arpa (RFC 3596)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from nodeagent.dns.message import Name, parse_name
from nodeagent.dns.settings import Zones


def reversed_address(name: Name) -> str | None:
    """`4.3.2.1.in-addr.arpa` → "1.2.3.4"; None for anything else."""
    labels = name[:-2][::-1]
    try:
        if name[-2:] == ("in-addr", "arpa") and len(labels) == 4:
            return str(ipaddress.IPv4Address(".".join(labels)))
        if name[-2:] == ("ip6", "arpa") and len(labels) == 32 and all(len(label) == 1 for label in labels):
            return str(ipaddress.IPv6Address(int("".join(labels), 16)))
    except ValueError:
        return None
    return None


def zones_of(words: Iterable[str]) -> Zones:
    """The zones that words of a Corefile name: `example.org`, `dns://example.org:53`, `10.96.0.0/12`."""
    return tuple(zone for word in words for zone in zones_and_port(word)[0])


def zones_and_port(word: str) -> tuple[Zones, str]:
    """Of one word: several zones for a network that ends within a label; the port is "" where none is said."""
    text = word.rpartition("://")[2]
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = text, ""
    return _reverse_zones(host) or (parse_name(host),), port


def _reverse_zones(text: str) -> Zones:
    """`10.0.0.0/15` → 0.10.in-addr.arpa and 1.10.in-addr.arpa; none for what is no network."""
    if not text.rpartition("/")[2].isdecimal() or "/" not in text:
        return ()
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ()
    bits = 8 if network.version == 4 else 4
    length = -(-network.prefixlen // bits) * bits
    left = (network.max_prefixlen - length) // bits
    return tuple(parse_name(one.network_address.reverse_pointer)[left:] for one in network.subnets(new_prefix=length))
