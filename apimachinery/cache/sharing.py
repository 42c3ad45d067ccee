"""Equal parts of objects, held once: what many pods of one template say is the same to the last byte."""

from __future__ import annotations

from typing import Any

import orjson

Object = dict[str, Any]

PARTS_MAX = 256
"""Parts that are remembered. Beyond, all are forgotten, and equal parts that come later are held once more."""


class Shared:
    """What an informer has seen of late. Readers of a cache change nothing in it, so its objects may share parts."""

    def __init__(self) -> None:
        self._parts: dict[bytes, Any] = {}

    def fold(self, obj: Object) -> None:
        """Put the parts seen before in the place of equal ones: the fields of the spec, labels, annotations and owners.
        In place; for an object that nobody has been shown yet."""
        metadata = obj["metadata"]
        for field in ("labels", "annotations", "ownerReferences"):
            if metadata.get(field):
                metadata[field] = self._one(metadata[field])
        spec = obj.get("spec")
        if isinstance(spec, dict):
            for field, value in spec.items():
                if isinstance(value, dict | list):
                    spec[field] = self._one(value)

    def _one(self, part: Any) -> Any:
        if len(self._parts) >= PARTS_MAX:
            self._parts.clear()
        return self._parts.setdefault(orjson.dumps(part), part)
