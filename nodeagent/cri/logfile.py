"""The file that a container's output goes to, as whoever reads it sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def rotated(file: BinaryIO, path: Path) -> bool:
    """Whether another file has taken the place of the open one. False while there is none."""
    try:
        now, then = path.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (now.st_ino, now.st_dev) != (then.st_ino, then.st_dev)
