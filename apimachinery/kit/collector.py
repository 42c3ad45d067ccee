"""When Python looks for garbage in cycles: not while a daemon loads, and seldom while it serves."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (10_000, 10, 10)
"""Objects made (less those freed) before the youngest generation is looked through. Almost all that a request makes is
freed by its counts alone; with Python's 700 the search took an eighth of a pod's creation."""


@contextmanager
def loading() -> Iterator[None]:
    """Import a daemon's modules inside: nothing that is made there becomes garbage, so nothing is looked for (a tenth
    of the start), and it is never looked through again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()


@contextmanager
def paused() -> Iterator[None]:
    """While much is made at once that stays: what has just been made would be looked through again and again. In a full
    write of a thousand Services that took a quarter of the time. What others drop meanwhile is found afterwards."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
