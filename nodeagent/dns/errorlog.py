"""`errors`: a line for each failure; those of one kind together, where the Corefile says so (`consolidate`)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

from apimachinery.meta.times import format_duration, parse_duration
from nodeagent.dns.message import TYPES, Query, format_name
from nodeagent.dns.settings import Consolidate, Errors

_errors = logging.getLogger("plugin/errors")

_LEVELS = {"warning": logging.WARNING, "error": logging.ERROR, "info": logging.INFO, "debug": logging.DEBUG}


class ErrorLog:
    """Tells failures until `close`, which tells what was counted so far; from then on each is told."""

    def __init__(self, settings: Errors) -> None:
        self._kinds = [_Kind(one) for one in settings.consolidated]
        self._closed = False

    def tell(self, rcode: int, query: Query, reason: str) -> None:
        # As upstream: by the first pattern that fits.
        kind = next((one for one in self._kinds if one.fits(reason)), None)
        if kind is not None and not self._closed:
            kind.count()
            return
        shown = TYPES.get(query.type, f"TYPE{query.type}")
        _errors.error("%d %s %s: %s", rcode, format_name(query.name), shown, reason)

    def close(self) -> None:
        self._closed = True
        for kind in self._kinds:
            kind.tell()


class _Kind:
    """Failures of one pattern. The first begins the time at whose end all are told."""

    def __init__(self, settings: Consolidate) -> None:
        self._settings, self._number = settings, 0
        self._timer: asyncio.TimerHandle | None = None

    def fits(self, reason: str) -> bool:
        return re.search(self._settings.pattern, reason) is not None

    def count(self) -> None:
        self._number += 1
        if self._number == 1:
            self._timer = asyncio.get_running_loop().call_later(self._settings.seconds, self.tell)

    def tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        number, self._number, one = self._number, 0, self._settings
        if number:
            words = "%d errors like '%s' occurred in last %s"
            _errors.log(one.level, words, number, one.pattern, format_duration(one.seconds))


def parse(words: Sequence[str]) -> Consolidate:
    """`DURATION REGEXP [LEVEL]`. Raises ValueError."""
    if len(words) not in (2, 3):
        raise ValueError("Wrong argument count or unexpected line ending after 'consolidate'")
    seconds = parse_duration(words[0])
    try:
        re.compile(words[1])
    except re.error as error:
        raise ValueError(f"error parsing regexp: {error}") from None
    level = words[2] if len(words) == 3 else "error"
    if level not in _LEVELS:
        raise ValueError(f"unknown log level argument in consolidate: {level}")
    return Consolidate(seconds, words[1], _LEVELS[level])
