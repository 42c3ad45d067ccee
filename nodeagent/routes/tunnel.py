"""This node's end of the tunnel to nodes of other segments: a VXLAN interface that is told where everybody is.

As flannel's: an entry in its forwarding database, and a neighbour, for each other node; nothing is learnt or asked for.
"""

from __future__ import annotations

import errno
import ipaddress
from pathlib import Path

from nodeagent.netlink import links, neighbours
from nodeagent.netlink.vxlan import KIND, Settings, new_vxlan
from nodeagent.netlink.wire import Netlink, NetlinkError, Request

from .plan import Tunnel

NAME = "kubelab-vxlan"
VNI = 1
PORT = 8472  # UDP; Linux's own and flannel's, not IANA's 4789
_ADDRESS_BITS = {4: 32, 16: 128}


def ensure(netlink: Netlink, wanted: Tunnel) -> list[str]:
    """Make the interface, or what of it is not as wanted; returns what was changed, in words. Raises NetlinkError."""
    settings = Settings(VNI, ipaddress.ip_address(wanted.local).packed, PORT)
    link, changed = links.find(netlink, NAME), list[str]()
    if link is not None and link.kind != KIND:
        raise NetlinkError(errno.EEXIST, f"{NAME} is not a VXLAN interface")
    if link is not None and (not settings.fit(link) or link.mac != wanted.mac):
        netlink.call(links.delete(link.index))
        link = None
    if link is None:
        netlink.call(new_vxlan(NAME, settings, wanted.mac, wanted.mtu))
        _quiet()
        changed.append(f"{NAME} made, from {wanted.local}, MTU {wanted.mtu}")
        link = links.find(netlink, NAME)
        if link is None:
            raise NetlinkError(errno.ENODEV, f"{NAME} was removed as soon as it was made")
    if not link.up:
        netlink.call(links.set_up(link.index))
        changed.append("up")
    if link.mtu != wanted.mtu:
        netlink.call(links.set_mtu(link.index, wanted.mtu))
        changed.append(f"MTU {wanted.mtu}, not {link.mtu}")
    steps = [
        *_addresses(netlink, link.index, wanted),
        *_forwarding(netlink, link.index, wanted),
        *_neighbours(netlink, link.index, wanted),
    ]
    for words, request in steps:
        netlink.call(request)
        changed.append(words)
    return changed


def remove(netlink: Netlink) -> list[str]:
    """Ours, when it is there."""
    link = links.find(netlink, NAME)
    if link is None or link.kind != KIND:
        return []
    netlink.call(links.delete(link.index))
    return [f"{NAME} removed"]


def _addresses(netlink: Netlink, index: int, wanted: Tunnel) -> list[tuple[str, Request]]:
    held = {ip.ip: ip.prefix for ip in links.list_addresses(netlink, index) if not _is_link_local(ip.ip)}
    right = {ip: _ADDRESS_BITS[len(ip)] for ip in (ipaddress.ip_address(text).packed for text in wanted.addresses)}
    steps = [
        (f"address {ipaddress.ip_address(ip)} deleted", links.delete_address(index, ip, prefix))
        for ip, prefix in held.items()
        if right.get(ip) != prefix
    ]
    steps += [
        (f"address {ipaddress.ip_address(ip)}", links.add_address(index, ip, prefix))
        for ip, prefix in right.items()
        if held.get(ip) != prefix
    ]
    return steps


def _forwarding(netlink: Netlink, index: int, wanted: Tunnel) -> list[tuple[str, Request]]:
    held = {entry.mac: entry.ip for entry in neighbours.list_forwarding(netlink, index)}
    right = {links.mac_bytes(mac): ipaddress.ip_address(ip).packed for mac, ip in wanted.forwarding.items()}
    steps = [
        (f"{mac.hex(':')} forgotten", neighbours.delete_forwarding(index, mac)) for mac in held if mac not in right
    ]
    steps += [
        (f"{mac.hex(':')} is at {ipaddress.ip_address(ip)}", neighbours.set_forwarding(index, mac, ip))
        for mac, ip in right.items()
        if held.get(mac) != ip
    ]
    return steps


def _neighbours(netlink: Netlink, index: int, wanted: Tunnel) -> list[tuple[str, Request]]:
    held = {entry.ip: entry.mac for entry in neighbours.list_neighbours(netlink, index) if entry.permanent}
    right = {ipaddress.ip_address(ip).packed: links.mac_bytes(mac) for ip, mac in wanted.neighbours.items()}
    steps = [
        (f"neighbour {ipaddress.ip_address(ip)} forgotten", neighbours.delete_neighbour(index, ip))
        for ip in held
        if ip not in right
    ]
    steps += [
        (f"neighbour {ipaddress.ip_address(ip)} is {mac.hex(':')}", neighbours.set_neighbour(index, ip, mac))
        for ip, mac in right.items()
        if held.get(ip) != mac
    ]
    return steps


def _is_link_local(ip: bytes) -> bool:
    return len(ip) == 16 and ipaddress.ip_address(ip).is_link_local


def _quiet() -> None:
    """Nobody in the tunnel announces routers, and what announces itself would have to be sent to every node."""
    settings = Path("/proc/sys/net/ipv6/conf", NAME)
    if settings.exists():
        (settings / "accept_ra").write_text("0")
