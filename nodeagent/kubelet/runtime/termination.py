"""What a container left as its last words: the termination message file, or the end of its log."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .logformat import parse_line

_FILE_MAX = 4096
_LOG_LINES, _LOG_BYTES = 80, 2048


def read_message(file: str, log: str, *, fall_back: bool) -> str:
    """The message. file: the node's path of the message file, "" if none. fall_back: use the log when it is empty."""
    text = ""
    if file:
        text = _read_file(file)
    if not text and fall_back and log:
        text = _log_tail(Path(log))
    return text


def _read_file(file: str) -> str:
    """The last 4 KiB. The container owns the file: what is not a plain file is not read."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return ""
        opened.seek(max(0, found.st_size - _FILE_MAX))
        return opened.read(_FILE_MAX).decode(errors="replace")


def _log_tail(log: Path) -> str:
    try:
        with log.open("rb") as opened:
            opened.seek(max(0, log.stat().st_size - 16 * _LOG_BYTES))
            lines = opened.read().removesuffix(b"\n").split(b"\n")[-_LOG_LINES:]
    except OSError:
        return ""
    pieces = []
    for line in lines:
        parsed = parse_line(line + b"\n")
        if parsed is not None:
            pieces.append(parsed.text)
    return b"".join(pieces)[-_LOG_BYTES:].decode(errors="replace")
