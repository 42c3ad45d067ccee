"""VXLAN interfaces (RFC 7348; linux/if_link.h, IFLA_VXLAN_*) that learn nothing: they send where they are told."""

from __future__ import annotations

import struct

from . import links
from .wire import Request, as_u32, attribute, parse_attributes, u8, u32

KIND = "vxlan"
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 1, 4, 7, 15, 17


class Settings:
    """vni: 0 to 2^24-1. local: this end, 4 or 16 bytes, whose family is that of every other end. port: UDP."""

    __slots__ = ("local", "port", "vni")

    def __init__(self, vni: int, local: bytes, port: int) -> None:
        self.vni, self.local, self.port = vni, local, port

    def fit(self, link: links.Link) -> bool:
        """Whether the interface is one made with these settings."""
        found = parse_attributes(link.data)
        local = found.get(IFLA_VXLAN_LOCAL6) or found.get(IFLA_VXLAN_LOCAL, b"")
        port = int.from_bytes(found.get(IFLA_VXLAN_PORT, b""), "big")
        learning = found.get(IFLA_VXLAN_LEARNING, b"\1") != b"\0"
        vni = as_u32(found.get(IFLA_VXLAN_ID, b""))
        return (link.kind, vni, local, port, learning) == (KIND, self.vni, self.local, self.port, False)


def new_vxlan(name: str, settings: Settings, mac: str, mtu: int) -> Request:
    data = u32(IFLA_VXLAN_ID, settings.vni)
    data += attribute(IFLA_VXLAN_LOCAL6 if len(settings.local) == 16 else IFLA_VXLAN_LOCAL, settings.local)
    data += u8(IFLA_VXLAN_LEARNING, 0) + attribute(IFLA_VXLAN_PORT, struct.pack("!H", settings.port))
    return links.new_link(name, KIND, data, mac=mac, mtu=mtu)
