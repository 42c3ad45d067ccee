"""Naming a process for ever: ids are used again, an id with its start is not."""

from __future__ import annotations

from pathlib import Path


def started_at(pid: int) -> str | None:
    """When a process began, in clock ticks: with the id this names a process for ever. ``None`` when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; only its parent has not looked yet.
    return None if fields[0] == "Z" else fields[19]
