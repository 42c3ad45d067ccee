"""The one exception of image building."""

from __future__ import annotations


class ImageError(Exception):
    """An image cannot be built, found or sent. ``str(e)`` says what failed and, after a colon or dash, what to do
    about it.

    Raised for what a person can mend (no disk space, no network, a missing tool, a broken recipe). Nothing half-made
    is left where a later build would take it for finished.
    """
