"""ARP frames for IPv4 over Ethernet (RFC 826), and announcements (RFC 5227). Pure."""

from __future__ import annotations

import struct

from .language import Language, Question

ETH_P_ARP = 0x0806
BROADCAST = b"\xff" * 6
_REQUEST, _REPLY = 1, 2
# Destination, source, type; hardware and protocol type and their lengths, operation; sender, target.
_FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800


def parse_question(frame: bytes) -> Question | None:
    """The question that a frame asks; None for anything else."""
    if len(frame) < _FRAME.size:
        return None
    _, _, kind, hardware, protocol, hardware_length, protocol_length, operation, mac, ip, _, target = (
        _FRAME.unpack_from(frame)
    )  # fmt: skip
    head = (kind, hardware, protocol, hardware_length, protocol_length, operation)
    if head != (ETH_P_ARP, _ETHERNET, _IPV4, 6, 4, _REQUEST):
        return None
    return Question(mac, ip, target)


def render_answer(question: Question, mac: bytes) -> bytes:
    """The frame that says that `mac` has what was asked for."""
    return _frame(question.mac, mac, _REPLY, question.target, question.mac, question.ip)


def render_announcements(ip: bytes, mac: bytes) -> list[bytes]:
    """Frames that make neighbours who know `ip` send to `mac` from now on: some believe a request, some a reply."""
    return [
        _frame(BROADCAST, mac, _REQUEST, ip, b"\0" * 6, ip),
        _frame(BROADCAST, mac, _REPLY, ip, BROADCAST, ip),
    ]


def _frame(destination: bytes, mac: bytes, operation: int, ip: bytes, target_mac: bytes, target: bytes) -> bytes:
    head = (destination, mac, ETH_P_ARP, _ETHERNET, _IPV4, 6, 4, operation)
    return _FRAME.pack(*head, mac, ip, target_mac, target)


ARP = Language(ETH_P_ARP, (), parse_question, render_answer, render_announcements, lambda _: "")
