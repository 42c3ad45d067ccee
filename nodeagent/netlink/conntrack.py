"""Tracked connections (linux/netfilter/nfnetlink_conntrack.h): listed and forgotten."""

from __future__ import annotations

import errno
import struct

from .wire import NLA_F_NESTED, Netlink, NetlinkError, Request, attribute, parse_attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set

_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE = 1, 2, 18
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP = 6, 17, 132

_HEADER = struct.Struct(">BBH")  # family, version, resource


class Flow:
    """One tracked connection. Addresses in network order; `reply_source` is who answers: a service's endpoint."""

    __slots__ = ("destination", "destination_port", "family", "original", "protocol", "reply_source", "zone")

    def __init__(self, body: bytes) -> None:
        self.family = body[0]
        found = parse_attributes(body, _HEADER.size)
        self.original, self.zone = found.get(CTA_TUPLE_ORIG, b""), found.get(CTA_ZONE)
        _, self.destination, self.protocol, self.destination_port = _tuple(self.original)
        self.reply_source = _tuple(found.get(CTA_TUPLE_REPLY, b""))[0]


def list_flows(netlink: Netlink, family: int, protocols: Set[int]) -> list[Flow]:
    """family: AF_INET or AF_INET6. The socket must be a NETLINK_NETFILTER one. Costs a look at every connection."""
    found = (Flow(body) for body in netlink.dump(IPCTNL_MSG_CT_GET, _HEADER.pack(family, 0, 0)))
    return [flow for flow in found if flow.protocol in protocols]


def forget(netlink: Netlink, flow: Flow) -> bool:
    """Delete it; False when it was gone already."""
    body = _HEADER.pack(flow.family, 0, 0) + attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.original)
    if flow.zone:
        body += attribute(CTA_ZONE, flow.zone)
    try:
        netlink.call(Request(IPCTNL_MSG_CT_DELETE, body))
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def _tuple(data: bytes) -> tuple[bytes, bytes, int, int]:
    """Source, destination, protocol, destination port; empty and 0 for what is not there."""
    found = parse_attributes(data)
    ip = parse_attributes(found.get(CTA_TUPLE_IP, b""))
    proto = parse_attributes(found.get(CTA_TUPLE_PROTO, b""))
    return (
        ip.get(CTA_IP_V4_SRC) or ip.get(CTA_IP_V6_SRC, b""),
        ip.get(CTA_IP_V4_DST) or ip.get(CTA_IP_V6_DST, b""),
        (proto.get(CTA_PROTO_NUM) or b"\0")[0],
        int.from_bytes(proto.get(CTA_PROTO_DST_PORT, b""), "big"),
    )
