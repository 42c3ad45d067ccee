"""The audit log file: one JSON event a line, rotated by size, kept by number and age (--audit-log-*)."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from apimachinery.kit.clock import Clock

_STAMP = "%Y-%m-%dT%H-%M-%S.%f"


class LogFile:
    """Appends lines. path "-" is the standard output, which is never rotated.

    max_bytes: a file that would grow beyond is put aside; backups: how many such files stay (0: all); age: for how long
    (None: for ever).
    """

    def __init__(
        self, path: str, clock: Clock, *, max_bytes: int, backups: int = 0, age: timedelta | None = None
    ) -> None:
        """Opens the file. Raises OSError."""
        self._path, self._clock = Path(path), clock
        self._max, self._backups, self._age = max_bytes, backups, age
        self._to_output = path == "-"
        self._file: BinaryIO | FileIO = sys.stdout.buffer if self._to_output else self._open()
        self._size = 0 if self._to_output else self._path.stat().st_size

    def write(self, line: bytes) -> None:
        """Append one line (which ends with a newline). Raises OSError."""
        if not self._to_output and self._size + len(line) > self._max and self._size:
            self._rotate()
        written = self._file.write(line)
        while written < len(line):
            written += self._file.write(line[written:])
        self._file.flush()
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        if not self._to_output:
            self._file.close()

    def _open(self) -> FileIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer, which would keep what a full disk refused, and refuse to be closed.
        return self._path.open("ab", buffering=0)

    def _rotate(self) -> None:
        self._file.close()
        stamp = self._clock.now().strftime(_STAMP)[:-3]
        self._path.rename(self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))
        self._file, self._size = self._open(), 0
        for path in self._superfluous():
            path.unlink(missing_ok=True)

    def _superfluous(self) -> list[Path]:
        prefix, suffix = f"{self._path.stem}-", self._path.suffix
        dated = []
        for path in self._path.parent.glob(f"{prefix}*{suffix}"):
            stamp = path.name[len(prefix) : len(path.name) - len(suffix)]
            try:
                dated.append((datetime.strptime(stamp, _STAMP).replace(tzinfo=self._clock.now().tzinfo), path))
            except ValueError:
                continue  # not one of ours
        dated.sort(reverse=True)
        gone = [path for _, path in dated[self._backups :]] if self._backups else []
        if self._age is not None:
            gone += [path for when, path in dated if self._clock.now() - when > self._age and path not in gone]
        return gone
