"""A program on a terminal of its own, driven as a person would: type, read, resize."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

DEADLINE = 120.0


class Terminal:
    """Runs `argv` with a pseudo-terminal as its stdin, stdout and stderr."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        self.resize(24, 80)
        self._process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size; the kernel tells the program."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, pattern: str, seconds: float = DEADLINE) -> re.Match[str]:
        """The first match in what is shown and was not matched before. Raises AssertionError when it does not come."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.shown)) is None:
            left = deadline - time.monotonic()
            assert left > 0 and self._read(left), f"{pattern!r} did not come; shown: {self.shown!r}"
        self.shown = self.shown[found.end() :]
        return found

    def ask(self, text: str, pattern: str, seconds: float = 10.0) -> re.Match[str]:
        """Type, and wait for what comes of it. Raises AssertionError."""
        self.type(text)
        return self.until(pattern, seconds)

    def wait(self, seconds: float = DEADLINE) -> int:
        """The exit code; what is still shown is read meanwhile."""
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        return self._process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)
