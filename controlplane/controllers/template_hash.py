"""The hash in the names of ReplicaSets, ControllerRevisions and their pods.

Upstream hashes a dump of Go structures, which nobody outside Go can repeat; names need only be stable and differ where
templates differ. Ours is FNV-1a of the canonical JSON, written in upstream's alphabet (no vowels, no lookalikes).
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.kit.rand import safe_encode


def compute_hash(template: object, collision_count: int | None = None) -> str:
    """Return the hash of a pod template (or any JSON value), 8 to 10 characters."""
    data = orjson.dumps(meaningful(template), option=orjson.OPT_SORT_KEYS)
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little")
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return safe_encode(str(value))


def meaningful(value: Any) -> Any:
    """Drop nulls and empty lists, which say the same as absence (Go's semantic equality)."""
    if isinstance(value, dict):
        return {
            key: meaningful(item)
            for key, item in value.items()
            if item is not None and item != [] and not (item == {} and key in ("labels", "annotations"))
        }
    if isinstance(value, list):
        return [meaningful(item) for item in value]
    return value
