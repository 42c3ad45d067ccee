"""What is read from files that may change while the server runs: keys, token lists, configurations."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_EVERY = 1.0
"""Seconds between two looks at the files; a look costs one stat of each."""


class Reloading(Generic[Value]):
    """`value` is what `read` made of the files; it is read again when one of them changes. A file that does not read
    any more leaves the value as it was, and is told in the log once."""

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        read: Callable[[], Value],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads at once. Raises what `read` raises."""
        self._what, self._paths, self._read, self._monotonic = what, tuple(paths), read, monotonic
        self._seen = self._look()
        self._value = read()
        self._next = monotonic() + _EVERY

    @property
    def value(self) -> Value:
        """The present value."""
        now = self._monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                try:
                    self._value = self._read()
                    log.info("read %s again", self._what)
                except (OSError, ValueError) as error:
                    log.error("what changed in %s cannot be used, what was read before stays: %s", self._what, error)
        return self._value

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(state(path) for path in self._paths)


def state(path: Path) -> tuple[int, int, int] | None:
    """What is another when a file was changed or put in another's place; None for one that cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
