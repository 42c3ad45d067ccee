"""The file that a container's output goes to, as whoever reads it sees it."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO


def missing(path: Path) -> str:
    """What is said of a log that cannot be opened: it names the first part of the way that is not there."""
    absent = next((each for each in (*reversed(path.parents), path) if not os.path.lexists(each)), path)
    return f'failed to try resolving symlinks in path "{path}": lstat {absent}: no such file or directory'


def rotated(file: BinaryIO, path: Path) -> bool:
    """Whether another file has taken the place of the open one. False while there is none."""
    try:
        now, then = path.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (now.st_ino, now.st_dev) != (then.st_ino, then.st_dev)


def nine_digits(moment: bytes) -> bytes:
    """A line's time as it is shown: runtimes leave zeros at the end of its second out, upstream's readers do not
    (RFC3339NanoFixed)."""
    if len(moment) == 30 and moment.endswith(b"Z"):
        return moment
    zone = b"Z" if moment.endswith(b"Z") else moment[-6:]
    second, digits = moment[:19], moment[20 : -len(zone)]
    return b"%b.%b%b" % (second, digits.ljust(9, b"0"), zone)


def in_utc(moment: bytes) -> bytes:
    """The time of a line, to be compared: the runtime may write it in its own zone."""
    if moment.endswith(b"Z"):
        return moment[:-1]
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", moment.decode()))
    except ValueError:
        return moment
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
