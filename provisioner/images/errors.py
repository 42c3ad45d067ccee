"""The one exception of image building."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path


class ImageError(Exception):
    """An image cannot be built, found or sent. ``str(e)`` says what failed and, after a colon or dash, what to do
    about it.

    Raised for what a person can mend (no disk space, no network, a missing tool, a broken recipe). Nothing half-made
    is left where a later build would take it for finished.
    """


@contextlib.contextmanager
def damage_explained(home: Path) -> Iterator[None]:
    """A cache entry that lost a file, or holds half of one (somebody else's doing: a build is whole or absent)."""
    cache = home / "images"
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(str(error.filename))
        if cache not in missing.parents:
            raise
        entry = cache.joinpath(*missing.relative_to(cache).parts[:2])
        raise ImageError(f"the image cache is damaged, {missing} is missing: remove {entry}, and try again") from error
    except (json.JSONDecodeError, KeyError) as error:
        why = f"the image cache is damaged ({error}): remove {cache}, and try again; images are built anew"
        raise ImageError(why) from error
