"""Which addresses this node announces. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from apimachinery.meta.cloud import ANNOUNCED_BY

Object = dict[str, Any]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Pool = tuple[IPAddress, IPAddress]


def plan_announced(services: Iterable[Object], node: str, pool: Pool) -> frozenset[IPAddress]:
    """The addresses of the Services that are announced here.

    pool: the first and the last address that may be, of one family: whoever may write a Service's status must not have
    the node answer for the gateway or for another machine.
    """
    found: set[IPAddress] = set()
    for service in services:
        metadata = service.get("metadata") or {}
        if (metadata.get("annotations") or {}).get(ANNOUNCED_BY) != node:
            continue
        if (service.get("spec") or {}).get("type") != "LoadBalancer":
            continue
        for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            try:
                address = ipaddress.ip_address(str(entry.get("ip")))
            except ValueError:
                continue
            if address.version == pool[0].version and int(pool[0]) <= int(address) <= int(pool[1]):
                found.add(address)
    return frozenset(found)
