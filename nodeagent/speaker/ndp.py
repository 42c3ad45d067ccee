"""Neighbour Discovery for IPv6 over Ethernet (RFC 4861, RFC 2464): solicitations in, advertisements out. Pure."""

from __future__ import annotations

import ipaddress
import struct

from .language import Language, Question

ETH_P_IPV6 = 0x86DD
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_TARGET_LINK_LAYER_ADDRESS = 2
# Nothing that a router passed on: it would have taken one off (RFC 4861, 7.1.1).
_HOPS = 255
# Flags: whether it was asked for; whether it replaces what a neighbour knows.
_SOLICITED, _OVERRIDE = 0x40000000, 0x20000000
# Ethernet's destination, source, type; IPv6's version, payload length, next header, hop limit, source, destination.
_HEAD = struct.Struct("!6s6sHIHBB16s16s")
# Type, code, checksum; reserved or flags; target.
_MESSAGE = struct.Struct("!BBHI16s")
_NOBODY = bytes(16)
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_SOLICITED_NODE = ipaddress.IPv6Address("ff02::1:ff00:0").packed[:13]
_VERSION = 6 << 28

# Of all IPv6 frames those whose first header is ICMPv6 and whose type is a solicitation.
_LOAD_HALF, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_PROGRAM = (
    (_LOAD_HALF, 0, 0, 12),
    (_JUMP_EQUAL, 0, 5, ETH_P_IPV6),
    (_LOAD_BYTE, 0, 0, 20),
    (_JUMP_EQUAL, 0, 3, _ICMPV6),
    (_LOAD_BYTE, 0, 0, 54),
    (_JUMP_EQUAL, 0, 1, _SOLICITATION),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)


def parse_question(frame: bytes) -> Question | None:
    """The question that a frame asks; None for anything else, and for what RFC 4861, 7.1.1 has one ignore."""
    if len(frame) < _HEAD.size + _MESSAGE.size:
        return None
    _, mac, kind, version, length, following, hops, source, destination = _HEAD.unpack_from(frame)
    message = frame[_HEAD.size : _HEAD.size + length]
    if (kind, version >> 28, following, hops) != (ETH_P_IPV6, 6, _ICMPV6, _HOPS) or len(message) != length:
        return None
    if length < _MESSAGE.size or checksum(source, destination, message) != 0:
        return None
    kind, code, _, _, target = _MESSAGE.unpack_from(message)
    if (kind, code) != (_SOLICITATION, 0) or target[0] == 0xFF:
        return None
    return Question(mac, source, target)


def render_answer(question: Question, mac: bytes) -> bytes:
    """The advertisement that says that `mac` has what was asked for; to all when who asks has no address yet, because
    it looks whether anybody has the one it wants (RFC 4862, 5.4)."""
    if question.ip == _NOBODY:
        return _advertisement(_multicast(_ALL_NODES), mac, _ALL_NODES, question.target, _OVERRIDE)
    return _advertisement(question.mac, mac, question.ip, question.target, _SOLICITED | _OVERRIDE)


def render_announcements(ip: bytes, mac: bytes) -> list[bytes]:
    """What makes neighbours who know `ip` send to `mac` from now on (RFC 4861, 7.2.6)."""
    return [_advertisement(_multicast(_ALL_NODES), mac, _ALL_NODES, ip, _OVERRIDE)]


def solicited_node(ip: bytes) -> str:
    """The group to which questions for an address go (RFC 4291, 2.7.1)."""
    return str(ipaddress.IPv6Address(_SOLICITED_NODE + ip[13:]))


def checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """Of an ICMPv6 message with its own field zero; 0 over one whose field is right (RFC 4443, 2.3)."""
    whole = source + destination + struct.pack("!II", len(message), _ICMPV6) + message
    whole += bytes(len(whole) % 2)
    total: int = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _advertisement(destination_mac: bytes, mac: bytes, destination: bytes, target: bytes, flags: int) -> bytes:
    """From the address itself, as the kernel sends its own."""
    option = struct.pack("!BB", _TARGET_LINK_LAYER_ADDRESS, 1) + mac
    bare = _MESSAGE.pack(_ADVERTISEMENT, 0, 0, flags, target) + option
    whole = _MESSAGE.pack(_ADVERTISEMENT, 0, checksum(target, destination, bare), flags, target) + option
    head = (destination_mac, mac, ETH_P_IPV6, _VERSION, len(whole), _ICMPV6, _HOPS, target, destination)
    return _HEAD.pack(*head) + whole


def _multicast(group: bytes) -> bytes:
    return b"\x33\x33" + group[12:]


NDP = Language(ETH_P_IPV6, _PROGRAM, parse_question, render_answer, render_announcements, solicited_node)
