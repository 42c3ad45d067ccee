"""The audit log file: one event a line, rotated by size, kept by number and age (--audit-log-*)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from datetime import timedelta
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from apimachinery.kit.clock import Clock
from controlplane.apiserver.audit import backups as aside

log = logging.getLogger(__name__)


class LogFile:
    """Appends lines. path "-" is the standard output, which is never rotated.

    max_bytes: a file that would grow beyond is put aside; backups: how many such files stay (0: all); age: for how long
    (None: for ever); compress: whether they are, beside the writing.
    """

    def __init__(
        self,
        path: str,
        clock: Clock,
        *,
        max_bytes: int,
        backups: int = 0,
        age: timedelta | None = None,
        compress: bool = False,
    ) -> None:
        """Opens the file. Raises OSError."""
        self._path, self._clock = Path(path), clock
        self._max, self._backups, self._age, self._compress = max_bytes, backups, age, compress
        self._compressing: threading.Thread | None = None
        self._to_output = path == "-"
        self._file: BinaryIO | FileIO = sys.stdout.buffer if self._to_output else self._open()
        self._size = 0
        if not self._to_output:
            self._size = self._path.stat().st_size
            self._tidy()

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
        self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
        # Without a buffer, which would keep what a full disk refused, and refuse to be closed.
        return aside.private(self._path, os.O_APPEND)

    def _rotate(self) -> None:
        """Where a step fails, there is still a file to write to, and the next line tries again."""
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(aside.named(self._path, self._clock.now()))
        before, self._file, self._size = self._file, self._open(), 0
        os.fchmod(self._file.fileno(), os.fstat(before.fileno()).st_mode & 0o7777)
        before.close()
        self._tidy()

    def _tidy(self) -> None:
        """Remove what is too much, and have the rest compressed by a thread; what comes while one is at it, later."""
        if not (self._backups or self._age or self._compress):
            return
        folder, now = self._path.parent, self._clock.now()
        try:
            names = [each.name for each in folder.iterdir()]
            gone, plain = aside.plan(
                self._path, names, now, backups=self._backups, age=self._age, compress=self._compress
            )
            for name in gone:
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            log.error("audit: old logs could not be removed: %s", error)  # no reason to lose the line that comes
            return
        if plain and not (self._compressing is not None and self._compressing.is_alive()):
            paths = [folder / name for name in plain]
            self._compressing = threading.Thread(target=aside.compress_all, args=(paths,), daemon=True)
            self._compressing.start()
