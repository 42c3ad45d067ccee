"""HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the server's environment, as Go's ProxyFromEnvironment and client-go (which
knows networks in NO_PROXY) follow them. Nothing goes over a proxy to this machine itself."""

from __future__ import annotations

import ipaddress
from urllib.request import getproxies, proxy_bypass

from yarl import URL


def proxy_for(url: URL) -> URL | None:
    """By which proxy to ask for it; None for none. Raises ValueError for a proxy's address that is none."""
    host = url.host or ""
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback) or proxy_bypass(host):
        return None
    told = getproxies()
    if address is not None and any(_holds(word, address) for word in told.get("no", "").split(",")):
        return None
    text = told.get(url.scheme, "")
    if not text:
        return None
    return URL(text if "://" in text else f"http://{text}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _holds(word: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return "/" in word and address in ipaddress.ip_network(word.strip(), strict=False)
    except ValueError:
        return False
