"""Waiting for something to become true, with a deadline that fails loudly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: str, look: Callable[[], T | None], timeout: float = 120.0, pause: float = 0.5) -> T:
    """The first truthy value of ``look()``; AssertionError with what it said last when none came in time (seconds)."""
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            last = look()
        except AssertionError as error:
            last = error
        else:
            if last:
                return last
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}; last seen: {last}")
        time.sleep(pause)
