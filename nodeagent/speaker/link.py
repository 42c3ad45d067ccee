"""The interface by which the node is in the network of the announced addresses: frames in, frames out."""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from nodeagent.netlink import links
from nodeagent.netlink.wire import Netlink

from .language import Instruction, Language

log = logging.getLogger(__name__)

_MOST = 64  # frames read in one go


IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h


def find_interface(address: IPAddress) -> tuple[str, bytes] | None:
    """(name, hardware address) of the interface that has an address of the same network; None for none."""
    family = links.AF_INET if address.version == 4 else links.AF_INET6
    with Netlink() as netlink:
        for held in links.list_addresses(netlink, family=family):
            network = ipaddress.ip_network((held.ip, held.prefix), strict=False)
            alone = held.prefix == network.max_prefixlen
            link = links.by_index(netlink, held.index) if address in network and not alone else None
            if link is not None and link.mac:
                return link.name, links.mac_bytes(link.mac)
    return None


class Wire:
    """A packet socket on one interface, for what neighbours ask (packet(7)). Needs CAP_NET_RAW. Raises OSError."""

    def __init__(self, interface: str, mac: bytes, language: Language, heard: Callable[[bytes], None]) -> None:
        self.interface, self.mac, self._heard = interface, mac, heard
        self.broken = False
        self._groups: dict[str, socket.socket] = {}
        with ExitStack() as undo:
            # Bound when it has its filter: before, nothing is received.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            undo.callback(self._socket.close)
            if language.program:
                _attach(self._socket, language.program)
            self._socket.bind((interface, language.frames))
            undo.pop_all()
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def listen(self, groups: frozenset[str]) -> None:
        """Belong to these multicast groups and to no others: the interface, and switches that look, pass only those on.

        One that cannot be joined is told, and tried again the next time.
        """
        for group in self._groups.keys() - groups:
            self._groups.pop(group).close()
        for group in groups - self._groups.keys():
            try:
                self._groups[group] = _join(group, self.interface)
            except OSError as error:
                log.warning("%s: cannot join %s: %s", self.interface, group, error.strerror)

    def send(self, frame: bytes) -> None:
        """A frame that cannot be sent is lost, as any may be on the way."""
        try:
            self._socket.send(frame)
        except OSError as error:
            log.warning("%s: cannot send: %s", self.interface, error.strerror)
            self.broken = True

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self.listen(frozenset())

    def _readable(self) -> None:
        for _ in range(_MOST):
            try:
                frame, sender = self._socket.recvfrom(128)
            except BlockingIOError:
                return
            except OSError as error:  # the interface went down, or away
                log.warning("%s: cannot receive: %s", self.interface, error.strerror)
                self.broken = True
                return
            if sender[2] != socket.PACKET_OUTGOING:
                self._heard(frame)


def _join(group: str, interface: str) -> socket.socket:
    """A member of the group for as long as it is open. Raises OSError."""
    member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", socket.if_nametoindex(interface))
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    except OSError:
        member.close()
        raise
    return member


def _attach(packets: socket.socket, program: Sequence[Instruction]) -> None:
    """struct sock_fprog (linux/filter.h): how many instructions, and where they are."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("@HBBI", *each) for each in program))
    packets.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
    )  # fmt: skip
