"""Neighbour tables: which hardware address has an IP address, and where a bridge or tunnel sends a hardware address
(linux/neighbour.h; the latter is the forwarding database, `bridge fdb`)."""

from __future__ import annotations

import errno
import struct

from .wire import NLM_F_CREATE, NLM_F_REPLACE, Netlink, NetlinkError, Request, attribute, parse_attributes, u32

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
NDA_DST, NDA_LLADDR, NDA_IFINDEX, NDA_MASTER = 1, 2, 8, 9
NUD_INCOMPLETE, NUD_FAILED, NUD_NOARP, NUD_PERMANENT = 0x01, 0x20, 0x40, 0x80
NTF_SELF = 0x02

_NEIGHBOUR = struct.Struct("=BxxxiHBB")


class Neighbour:
    """An entry. ip: in network order; of the forwarding database: the tunnel's other end, empty for a bridge's port.

    mac: six bytes, empty where it is not known (yet). index: of the interface that the entry leads through.
    """

    __slots__ = ("family", "flags", "index", "ip", "mac", "state")

    def __init__(self, body: bytes) -> None:
        self.family, self.index, self.state, self.flags, _ = _NEIGHBOUR.unpack_from(body)
        found = parse_attributes(body, _NEIGHBOUR.size)
        self.ip, self.mac = found.get(NDA_DST, b""), found.get(NDA_LLADDR, b"")

    @property
    def permanent(self) -> bool:
        return bool(self.state & NUD_PERMANENT)


def list_neighbours(netlink: Netlink, index: int, family: int = AF_UNSPEC) -> list[Neighbour]:
    """The entries of one interface."""
    body = _NEIGHBOUR.pack(family, 0, 0, 0, 0) + u32(NDA_IFINDEX, index)
    found = [Neighbour(answer) for answer in netlink.dump(RTM_GETNEIGH, body)]
    return [entry for entry in found if entry.index == index and entry.family != AF_BRIDGE]


def list_forwarding(netlink: Netlink, index: int) -> list[Neighbour]:
    """A tunnel's own forwarding database."""
    body = _NEIGHBOUR.pack(AF_BRIDGE, 0, 0, 0, 0) + u32(NDA_IFINDEX, index)
    found = [Neighbour(answer) for answer in netlink.dump(RTM_GETNEIGH, body)]
    return [entry for entry in found if entry.index == index and entry.flags & NTF_SELF]


def neighbour_at(netlink: Netlink, index: int, ip: bytes) -> Neighbour | None:
    """What is known of `ip` on the interface; None for nothing."""
    family = AF_INET6 if len(ip) == 16 else AF_INET
    return _one(netlink, _NEIGHBOUR.pack(family, index, 0, 0, 0) + attribute(NDA_DST, ip))


def port_of(netlink: Netlink, bridge: int, mac: bytes) -> Neighbour | None:
    """Where a bridge sends frames for `mac`; None when it would send them everywhere."""
    return _one(netlink, _NEIGHBOUR.pack(AF_BRIDGE, 0, 0, 0, 0) + attribute(NDA_LLADDR, mac) + u32(NDA_MASTER, bridge))


def set_neighbour(index: int, ip: bytes, mac: bytes) -> Request:
    """A permanent entry, in the place of any that is there."""
    body = _NEIGHBOUR.pack(AF_INET6 if len(ip) == 16 else AF_INET, index, NUD_PERMANENT, 0, 0)
    return _set(body + attribute(NDA_DST, ip) + attribute(NDA_LLADDR, mac))


def delete_neighbour(index: int, ip: bytes) -> Request:
    family = AF_INET6 if len(ip) == 16 else AF_INET
    return Request(RTM_DELNEIGH, _NEIGHBOUR.pack(family, index, 0, 0, 0) + attribute(NDA_DST, ip))


def set_forwarding(index: int, mac: bytes, remote: bytes) -> Request:
    """The tunnel sends frames for `mac` to `remote`, and to nobody else."""
    body = _NEIGHBOUR.pack(AF_BRIDGE, index, NUD_NOARP | NUD_PERMANENT, NTF_SELF, 0)
    return _set(body + attribute(NDA_DST, remote) + attribute(NDA_LLADDR, mac))


def delete_forwarding(index: int, mac: bytes) -> Request:
    return Request(RTM_DELNEIGH, _NEIGHBOUR.pack(AF_BRIDGE, index, 0, NTF_SELF, 0) + attribute(NDA_LLADDR, mac))


def _set(body: bytes) -> Request:
    return Request(RTM_NEWNEIGH, body, NLM_F_CREATE | NLM_F_REPLACE)


def _one(netlink: Netlink, body: bytes) -> Neighbour | None:
    try:
        return Neighbour(netlink.call(Request(RTM_GETNEIGH, body))[0][1])
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
