"""A line of a CRI log: `2025-01-02T03:04:05.123456789Z stdout F text` (KEP: kubelet CRI logging)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry. text ends with a newline unless it is the first part of a longer line."""

    time: bytes
    stream: bytes
    text: bytes


def parse_line(line: bytes) -> LogLine | None:
    """The entry of one line of the file, its newline included; None for what is no entry."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    text = parts[3]
    if parts[2].split(b":", 1)[0] == b"P":
        text = text.removesuffix(b"\n")
    return LogLine(parts[0], parts[1], text)
