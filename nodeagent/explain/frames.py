"""A frame as traffic control sees it, and classic BPF programs run on it (linux/filter.h; bpf(4) of the BSDs). Pure.

Bytes of a frame that nothing here knows (checksums, sequence numbers, a port that is yet to be chosen) are None; a
program that looks at one cannot be judged.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from .packet import Packet

Frame = list[int | None]
_ETHER_TYPES = {4: 0x0800, 6: 0x86DD}
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_BEHIND = {"tcp": 16, "udp": 4, "sctp": 8}  # bytes of the header behind its two ports
_WORD = 0xFFFFFFFF
_STEPS = 4096  # BPF_MAXINSNS; programs only jump ahead
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
_LOADS, _KEPT = 0x00, 0x60


class Unjudged(Exception):
    """The program looks at something that only the kernel has."""


def build_frame(packet: Packet, source: str, destination: str) -> Frame:
    """source, destination: hardware addresses, "" for one that is not known."""
    family = 6 if ":" in packet.dst else 4
    head: Frame = [*_mac(destination), *_mac(source), *_number(_ETHER_TYPES[family], 2)]
    src, dst = _address(packet.src, family), _address(packet.dst, family)
    number = _NUMBERS.get(packet.protocol)
    if family == 4:
        head += [0x45, 0, None, None, None, None, 0x40, 0, None, number, None, None, *src, *dst]
    else:
        head += [0x60, None, None, None, None, None, number, None, *src, *dst]
    sport, dport = ([None, None] if not port else _number(port, 2) for port in (packet.sport, packet.dport))
    return [*head, *sport, *dport, *[None] * _BEHIND.get(packet.protocol, 0)]


def run_program(program: Sequence[Mapping[str, Any]], frame: Frame) -> int:
    """What the program returns, 0 to 2^32-1. program: as `tc -j` prints it. Raises Unjudged."""
    a = x = at = 0
    memory: dict[int, int] = {}
    for _ in range(_STEPS):
        if at >= len(program):
            break
        step = program[at]
        code, k = int(step["code"]), int(step["k"])
        at += 1
        kind = code & 0x07
        if kind == 0x06:
            return a if code & 0x18 == 0x10 else k
        if kind == 0x05:
            at += k if code & 0xF0 == 0 else int(step["jt"] if _holds(code, a, k, x) else step["jf"])
        elif kind == 0x04:
            a = _compute(code & 0xF0, a, x if code & 0x08 else k)
        elif kind in (0x02, 0x03):
            memory[k] = a if kind == 0x02 else x
        elif kind == 0x07:
            a, x = (x, x) if code & 0x80 else (a, a)
        elif kind == _LOADS:
            a = _load(code, k, x, memory, frame)
        else:
            x = (4 * (_read(frame, k, 1) & 0x0F)) if code == 0xB1 else _load(code & ~1, k, x, memory, frame)
    raise Unjudged("the program does not end")


def _load(code: int, k: int, x: int, memory: Mapping[int, int], frame: Frame) -> int:
    mode = code & 0xE0
    if mode == 0x00:
        return k
    if mode == _KEPT:
        return memory.get(k, 0)
    if mode in (0x20, 0x40):
        return _read(frame, k + (x if mode == 0x40 else 0), _SIZES[code & 0x18])
    raise Unjudged("the size of the packet")


def _read(frame: Frame, place: int, size: int) -> int:
    found = frame[place : place + size]
    if place > _WORD >> 1 or len(found) < size or any(byte is None for byte in found):
        raise Unjudged(f"byte {place}")
    return int.from_bytes(bytes(byte or 0 for byte in found), "big")


def _holds(code: int, a: int, k: int, x: int) -> bool:
    other = x if code & 0x08 else k
    match code & 0xF0:
        case 0x10:
            return a == other
        case 0x20:
            return a > other
        case 0x30:
            return a >= other
        case 0x40:
            return bool(a & other)
    raise Unjudged(f"jump {code:#x}")


def _compute(operation: int, a: int, other: int) -> int:
    match operation:
        case 0x00:
            return (a + other) & _WORD
        case 0x10:
            return (a - other) & _WORD
        case 0x40:
            return a | other
        case 0x50:
            return a & other
        case 0x60:
            return (a << other) & _WORD
        case 0x70:
            return a >> other
    raise Unjudged(f"operation {operation:#x}")


def _mac(text: str) -> Frame:
    return [int(part, 16) for part in text.split(":")] if text else [None] * 6


def _address(ip: str, family: int) -> Frame:
    return list(ipaddress.ip_address(ip).packed) if ip else [None] * (4 if family == 4 else 16)


def _number(value: int, size: int) -> Frame:
    return list(value.to_bytes(size, "big"))
