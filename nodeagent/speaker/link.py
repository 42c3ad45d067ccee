"""The interface by which the node is in the network of the announced addresses: frames in, frames out."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable

from nodeagent.netlink import links
from nodeagent.netlink.wire import Netlink

from .arp import ETH_P_ARP

log = logging.getLogger(__name__)

_MOST = 64  # frames read in one go


def find_interface(address: ipaddress.IPv4Address) -> tuple[str, bytes] | None:
    """(name, hardware address) of the interface that has an address of the same network; None for none."""
    with Netlink() as netlink:
        for held in links.list_addresses(netlink, family=links.AF_INET):
            network = ipaddress.IPv4Network((held.ip, held.prefix), strict=False)
            link = links.by_index(netlink, held.index) if address in network and held.prefix < 32 else None
            if link is not None and link.mac:
                return link.name, links.mac_bytes(link.mac)
    return None


class Wire:
    """A packet socket on one interface, for ARP alone (packet(7)). Needs CAP_NET_RAW. Raises OSError."""

    def __init__(self, interface: str, mac: bytes, heard: Callable[[bytes], None]) -> None:
        self.interface, self.mac, self._heard = interface, mac, heard
        self.broken = False
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ARP))
        try:
            self._socket.bind((interface, ETH_P_ARP))
        except OSError:
            self._socket.close()
            raise
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

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
