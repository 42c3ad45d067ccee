"""Routes (linux/rtnetlink.h)."""

from __future__ import annotations

import errno
import struct

from .wire import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Netlink,
    NetlinkError,
    Request,
    as_u32,
    attribute,
    parse_attributes,
    u32,
)

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE = 1, 4, 5, 6, 15
RT_TABLE_MAIN = 254
RTPROT_BOOT, RTPROT_STATIC = 3, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST = 1
RTNH_F_ONLINK = 4
AF_INET, AF_INET6 = 2, 10

_ROUTE = struct.Struct("=BBBBBBBBI")


class Route:
    """A route. destination: network order, empty for the default route; gateway: empty for one on the link."""

    __slots__ = ("destination", "gateway", "index", "metric", "prefix", "protocol", "table", "type")

    def __init__(self, body: bytes) -> None:
        _, self.prefix, _, _, table, self.protocol, _, self.type, _ = _ROUTE.unpack_from(body)
        found = parse_attributes(body, _ROUTE.size)
        self.destination = found.get(RTA_DST, b"")
        self.gateway = found.get(RTA_GATEWAY, b"")
        self.index = as_u32(found.get(RTA_OIF, b""))
        self.metric = as_u32(found.get(RTA_PRIORITY, b""))
        self.table = as_u32(found[RTA_TABLE]) if RTA_TABLE in found else table


def list_routes(netlink: Netlink, family: int = AF_INET, protocol: int = 0) -> list[Route]:
    """The unicast routes of the main table; protocol: only those that this one (RTPROT_*) made, where not 0."""
    header = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, protocol, 0, RTN_UNICAST, 0)
    found = [Route(body) for body in netlink.dump(RTM_GETROUTE, header)]
    return [
        route
        for route in found
        if route.table == RT_TABLE_MAIN and route.type == RTN_UNICAST and protocol in (0, route.protocol)
    ]


def way_to(netlink: Netlink, ip: bytes) -> Route | None:
    """The route that a packet to `ip` would take now; None when there is none."""
    family = AF_INET6 if len(ip) == 16 else AF_INET
    header = _ROUTE.pack(family, len(ip) * 8, 0, 0, 0, 0, 0, 0, 0)
    try:
        answers = netlink.call(Request(RTM_GETROUTE, header + attribute(RTA_DST, ip)))
    except NetlinkError as error:
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return None
        raise
    return Route(answers[0][1])


def add_route(
    destination: bytes,
    prefix: int,
    *,
    family: int,
    gateway: bytes = b"",
    index: int = 0,
    metric: int = 0,
    table: int = RT_TABLE_MAIN,
    scope: int | None = None,
    protocol: int = RTPROT_BOOT,
    replace: bool = False,
    on_link: bool = False,
) -> Request:
    """destination: network order; prefix 0 is the default route. replace: put in the place of one with this metric.

    on_link: the gateway is reached through the interface `index` whatever other routes say.
    """
    if scope is None:
        scope = RT_SCOPE_UNIVERSE if gateway or family == AF_INET6 else RT_SCOPE_LINK
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    body = _body(destination, prefix, family, gateway, index, metric, table, scope, protocol, on_link)
    return Request(RTM_NEWROUTE, body, flags)


def delete_route(destination: bytes, prefix: int, *, family: int, gateway: bytes, index: int, protocol: int) -> Request:
    """Deletes that very route and no other to the same destination."""
    scope = RT_SCOPE_UNIVERSE if gateway or family == AF_INET6 else RT_SCOPE_LINK
    return Request(RTM_DELROUTE, _body(destination, prefix, family, gateway, index, 0, RT_TABLE_MAIN, scope, protocol))


def _body(
    destination: bytes,
    prefix: int,
    family: int,
    gateway: bytes,
    index: int,
    metric: int,
    table: int,
    scope: int,
    protocol: int,
    on_link: bool = False,
) -> bytes:
    marks = RTNH_F_ONLINK if on_link else 0
    body = _ROUTE.pack(family, prefix, 0, 0, table if table < 256 else 0, protocol, scope, RTN_UNICAST, marks)
    if table >= 256:
        body += u32(RTA_TABLE, table)
    if prefix:
        body += attribute(RTA_DST, destination)
    if gateway:
        body += attribute(RTA_GATEWAY, gateway)
    if index:
        body += u32(RTA_OIF, index)
    if metric:
        body += u32(RTA_PRIORITY, metric)
    return body
