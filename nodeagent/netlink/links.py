"""Interfaces and their addresses (linux/if_link.h, linux/if_addr.h)."""

from __future__ import annotations

import errno
import struct

from .wire import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Netlink,
    NetlinkError,
    Request,
    as_text,
    as_u32,
    attribute,
    nested,
    parse_attributes,
    text,
    u8,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWLINKPROP = 108

AF_UNSPEC, AF_INET, AF_BRIDGE, AF_INET6 = 0, 2, 7, 10
IFF_UP, IFF_LOOPBACK, IFF_PROMISC = 0x1, 0x8, 0x100
OPERSTATE_UP = 6

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_PROTINFO, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD, IFLA_EXT_MASK = 12, 16, 18, 20, 28, 29
RTEXT_FILTER_SKIP_STATS = 0x8
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53
IFALIAS_MAX, OTHER_NAME_MAX = 255, 127  # bytes
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFLA_BRPORT_MODE = 4  # hairpin
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD = 0x02

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")


class Link:
    """One interface as the kernel shows it. peer: the index that a veth's other end has in its own namespace.

    alias: what somebody noted on it, at most 255 bytes. data: what its kind has of its own, not parsed.
    """

    __slots__ = ("alias", "data", "flags", "index", "kind", "mac", "master", "mtu", "name", "operstate", "peer")

    def __init__(self, body: bytes) -> None:
        _, _, self.index, self.flags, _ = _LINK.unpack_from(body)
        found = parse_attributes(body, _LINK.size)
        self.name = as_text(found.get(IFLA_IFNAME, b""))
        self.mac = ":".join(f"{byte:02x}" for byte in found.get(IFLA_ADDRESS, b""))
        self.mtu = as_u32(found.get(IFLA_MTU, b""))
        self.master = as_u32(found.get(IFLA_MASTER, b""))
        self.peer = as_u32(found.get(IFLA_LINK, b""))
        self.operstate = found.get(IFLA_OPERSTATE, b"\0")[0]
        self.alias = as_text(found.get(IFLA_IFALIAS, b""))
        info = parse_attributes(found.get(IFLA_LINKINFO, b""))
        self.kind, self.data = as_text(info.get(IFLA_INFO_KIND, b"")), info.get(IFLA_INFO_DATA, b"")

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)


class Address:
    """An address of an interface. ip: in network order, 4 or 16 bytes; prefix: its length."""

    __slots__ = ("index", "ip", "prefix")

    def __init__(self, body: bytes) -> None:
        _, self.prefix, _, _, self.index = _ADDRESS.unpack_from(body)
        found = parse_attributes(body, _ADDRESS.size)
        self.ip = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS, b"")


def mac_bytes(mac: str) -> bytes:
    """Six bytes. Raises ValueError for anything but six hexadecimal pairs joined by colons."""
    data = bytes.fromhex(mac.replace(":", ""))
    if len(data) != 6 or mac.count(":") != 5:
        raise ValueError(f"invalid MAC address {mac!r}")
    return data


def find(netlink: Netlink, name: str) -> Link | None:
    return _find(netlink, text(IFLA_IFNAME, name))


def find_by_other_name(netlink: Netlink, name: str) -> Link | None:
    return _find(netlink, text(IFLA_ALT_IFNAME, name))


def _find(netlink: Netlink, name: bytes) -> Link | None:
    try:
        answers = netlink.call(Request(RTM_GETLINK, _link() + name))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return Link(answers[0][1])


def by_index(netlink: Netlink, index: int) -> Link | None:
    try:
        return Link(netlink.call(Request(RTM_GETLINK, _link(index)))[0][1])
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def list_links(netlink: Netlink, master: int = 0) -> list[Link]:
    """master: only the ports of the bridge with that index, where not 0."""
    body = _link() + u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    if master:
        body += u32(IFLA_MASTER, master)
    found = [Link(answer) for answer in netlink.dump(RTM_GETLINK, body)]
    return [link for link in found if master in (0, link.master)]


def new_bridge(name: str, mtu: int, mac: str) -> Request:
    """A bridge that is up. mac: fixed, or it would change with the ports (a bridge takes the lowest of them)."""
    return new_link(name, "bridge", mac=mac, mtu=mtu)


def new_veth(name: str, master: int, mtu: int, peer: str, peer_namespace: int, peer_mac: str = "") -> Request:
    """A pair: `name` here, up and a port of the bridge `master`; `peer`, down, in the namespace of that descriptor."""
    size = u32(IFLA_MTU, mtu) if mtu else b""
    there = _link() + text(IFLA_IFNAME, peer) + u32(IFLA_NET_NS_FD, peer_namespace) + size
    if peer_mac:
        there += attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
    kind = nested(
        IFLA_LINKINFO,
        text(IFLA_INFO_KIND, "veth"),
        nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, there)),
    )
    body = _link(0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name) + u32(IFLA_MASTER, master) + size + kind
    return Request(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)


def set_up(index: int, up: bool = True) -> Request:
    return Request(RTM_NEWLINK, _link(index, IFF_UP if up else 0, IFF_UP))


def set_promiscuous(index: int) -> Request:
    return Request(RTM_NEWLINK, _link(index, IFF_PROMISC, IFF_PROMISC))


def set_hairpin(index: int, on: bool) -> Request:
    """Whether a bridge sends a frame back through the port it came from: a pod reaching itself through a Service."""
    body = _LINK.pack(AF_BRIDGE, 0, index, 0, 0) + nested(IFLA_PROTINFO, u8(IFLA_BRPORT_MODE, int(on)))
    return Request(RTM_SETLINK, body)


def set_mtu(index: int, mtu: int) -> Request:
    return Request(RTM_NEWLINK, _link(index) + u32(IFLA_MTU, mtu))


def add_other_name(index: int, name: str) -> Request:
    """A second name, of at most 127 bytes, by which the interface is found as by the first (`ip link property`).

    Refused with EEXIST when any interface of the namespace has it. Linux 5.5.
    """
    body = _link(index) + nested(IFLA_PROP_LIST, text(IFLA_ALT_IFNAME, name))
    return Request(RTM_NEWLINKPROP, body, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND)


def set_alias(index: int, alias: str) -> Request:
    """Refused with EINVAL when it has more than 255 bytes."""
    return Request(RTM_NEWLINK, _link(index) + attribute(IFLA_IFALIAS, alias.encode()))


def delete(index: int) -> Request:
    return Request(RTM_DELLINK, _link(index))


def list_addresses(netlink: Netlink, index: int = 0, family: int = AF_UNSPEC) -> list[Address]:
    """index: of one interface; 0: of all."""
    found = [Address(body) for body in netlink.dump(RTM_GETADDR, _ADDRESS.pack(family, 0, 0, 0, index))]
    return [address for address in found if index in (0, address.index)]


def add_address(index: int, ip: bytes, prefix: int) -> Request:
    """Refused with EEXIST when it is there. IPv6 addresses skip duplicate detection: the address was reserved."""
    family, flags = (AF_INET6, IFA_F_NODAD) if len(ip) == 16 else (AF_INET, 0)
    body = _ADDRESS.pack(family, prefix, flags, 0, index) + attribute(IFA_LOCAL, ip) + attribute(IFA_ADDRESS, ip)
    return Request(RTM_NEWADDR, body, NLM_F_CREATE | NLM_F_EXCL)


def delete_address(index: int, ip: bytes, prefix: int) -> Request:
    family = AF_INET6 if len(ip) == 16 else AF_INET
    return Request(RTM_DELADDR, _ADDRESS.pack(family, prefix, 0, 0, index) + attribute(IFA_LOCAL, ip))


def new_link(name: str, kind: str, data: bytes = b"", *, mac: str = "", mtu: int = 0) -> Request:
    """An interface of that kind that is up; data: the kind's own attributes."""
    body = _link(0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name)
    if mac:
        body += attribute(IFLA_ADDRESS, mac_bytes(mac))
    if mtu:
        body += u32(IFLA_MTU, mtu)
    info = text(IFLA_INFO_KIND, kind) + (nested(IFLA_INFO_DATA, data) if data else b"")
    return Request(RTM_NEWLINK, body + nested(IFLA_LINKINFO, info), NLM_F_CREATE | NLM_F_EXCL)


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _LINK.pack(AF_UNSPEC, 0, index, flags, change)
