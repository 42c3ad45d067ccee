"""What neighbours ask each other on a segment, in the words of one address family. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Instruction = tuple[int, int, int, int]
"""One of classic BPF (code, jump if true, jump if false, value)."""


@dataclass(frozen=True, slots=True)
class Question:
    """Who has `target`? Tell `ip` at `mac`. Addresses in network order; an `ip` of zeros has none of its own yet."""

    mac: bytes
    ip: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Language:
    """frames: the type of Ethernet frame. program: which of them concern us, empty for all.

    question: what a frame asks, None for anything else. answer: the frame that says that a hardware address has what
    was asked for. announcements: those that make neighbours who know an address send to a hardware address from now on.
    group: the multicast address to which questions for an address go, "" where they are broadcast.
    """

    frames: int
    program: Sequence[Instruction]
    question: Callable[[bytes], Question | None]
    answer: Callable[[Question, bytes], bytes]
    announcements: Callable[[bytes, bytes], list[bytes]]
    group: Callable[[bytes], str]
