"""Where proxied requests may go: never back to this machine, nor to what only its own link can see.

What a node reports about itself decides the address, and a node must not make the API server speak to the services
beside it (k8s.io/kubernetes/pkg/proxy/util IsProxyableHostname).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from apimachinery.meta import status


def is_proxyable(address: str) -> bool:
    """Whether a literal address is a global or private unicast one. Raises ValueError for what is no address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    broadcast = ip == ipaddress.IPv4Address("255.255.255.255")
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or broadcast)


async def proxyable_address(host: str, port: int) -> str:
    """The address to dial for `host`, resolved once, so that what was looked at is what is dialled.

    Raises ApiError 400 when one of its addresses may not be dialled, 500 when the name has none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise status.internal(f"lookup {host}: {error}") from None
    addresses = [str(each[4][0]) for each in found]
    if not all(is_proxyable(address) for address in addresses):
        raise status.bad_request("address not allowed")
    return addresses[0]
