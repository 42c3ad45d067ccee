"""Ethernet frames made by hand, sent from one pod and listened for in another."""

import ipaddress
import socket
import struct
import time

from tests.netns.cni.namespaces import WAIT, Namespace

ARP, IPV4, IPV6, ICMPV6, UDP = 0x0806, 0x0800, 0x86DD, 58, 17
_EVERYTHING = 3  # ETH_P_ALL


class Pod:
    """A pod's interface eth0."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        [link] = namespace.json("ip", "-j", "address", "show", "eth0")
        self.mac = bytes.fromhex(link["address"].replace(":", ""))
        self.ips = {info["family"] + info["scope"]: info["local"] for info in link["addr_info"]}

    def open(self) -> socket.socket:
        def bound() -> socket.socket:
            found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
            found.bind(("eth0", 0))
            return found

        return self.namespace.inside(bound)


def arrived(sender: Pod, receiver: Pod, frames: dict[str, bytes], last: bytes) -> set[str]:
    """Which of the frames the receiver got, once it has got `last`, which was sent behind them."""
    seen = set[str]()
    with receiver.open() as listening, sender.open() as sending:
        for frame in [*frames.values(), last]:
            sending.send(frame)
        deadline = time.monotonic() + WAIT
        while True:
            listening.settimeout(max(deadline - time.monotonic(), 0.001))
            got = listening.recv(2048)
            if got == last:
                return seen
            seen |= {name for name, frame in frames.items() if frame == got}


def ethernet(to: bytes, sender: bytes, kind: int, payload: bytes) -> bytes:
    return to + sender + struct.pack("!H", kind) + payload


def arp(operation: int, mac: bytes, ip: str, asked: str) -> bytes:
    there = bytes(6) + socket.inet_aton(asked)
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + mac + socket.inet_aton(ip) + there


def ipv4(source: str, to: str, payload: bytes) -> bytes:
    datagram = struct.pack("!HHHH", 4000, 4000, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, UDP, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + datagram


def ipv6(source: str, to: str, header: int, payload: bytes) -> bytes:
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), header, 255) + ends + payload


def advertisement(target: str) -> bytes:
    """A neighbour's (RFC 4861, 4.4)."""
    return bytes([136, 0, 0, 0, 0x20, 0, 0, 0]) + ipaddress.ip_address(target).packed


def hop_by_hop(payload: bytes) -> bytes:
    """With a router alert (RFC 2711) in front of an ICMPv6 message."""
    return bytes([ICMPV6, 0, 5, 2, 0, 0, 1, 0]) + payload
