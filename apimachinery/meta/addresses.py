"""Addresses and networks as the API takes them: sloppily, as upstream (k8s.io/utils/net).

Who reads objects reads alike: what the API let in has to be served, or kept out.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def parse_cidr(text: str) -> IPv4Network | IPv6Network | None:
    """The network that an address and a prefix length name, or None. Sloppy as `parse_ip`; no netmask, no zone."""
    host, slash, length = text.partition("/")
    address, length = parse_ip(host), length.lstrip("0") or length[:1]
    if address is None or not slash or not (length.isascii() and length.isdigit()):
        return None
    if len(length) > 3 or int(length) > (128 if ":" in host else 32):
        return None
    return ip_network(f"{host if ':' in host else address}/{length}", strict=False)


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """The address, or None. As upstream's sloppy parser has it: leading zeros in IPv4 are let through, zones are not,
    and an IPv4 address written in IPv6 is the IPv4 address."""
    try:
        if "%" in text:
            return None
        if "." in text and ":" not in text:
            text = ".".join(str(int(part)) if part.isascii() and part.isdigit() else part for part in text.split("."))
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def plain_network(text: str) -> IPv4Network | IPv6Network | None:
    """The network of `parse_cidr`, for rules: IPv4's where it is one of IPv4 written in IPv6."""
    found = parse_cidr(text)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    return found if found is None or mapped is None else IPv4Network((mapped, found.prefixlen - 96))
