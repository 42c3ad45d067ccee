"""What differs between two versions of an object. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_KEPT_BY_THE_SERVER = {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"}


def find_changes(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of every leaf that differs; what the server keeps for itself is left out."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(each for each in after if each not in before)]:
            if not (path == "metadata" and key in _KEPT_BY_THE_SERVER):
                yield from find_changes(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from find_changes(old, new, f"{path}[{index}]")
    elif before != after:
        yield path, before, after
