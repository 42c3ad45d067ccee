"""The class that is marked as the default one; of several the newest, of equally old ones the first by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


def default_class(classes: Iterable[Object], *annotations: str) -> str | None:
    """Its name, or None when no class is marked. annotations: any of which says "true" on a default class."""
    marked = [
        (each["metadata"].get("creationTimestamp") or "", each["metadata"]["name"])
        for each in classes
        if any((each["metadata"].get("annotations") or {}).get(key) == "true" for key in annotations)
    ]
    if not marked:
        return None
    newest = max(created for created, _ in marked)
    return str(min(name for created, name in marked if created == newest))
