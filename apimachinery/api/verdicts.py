"""Pod specs that were found good lately: hundreds of pods of one template are judged once."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any

import orjson

REMEMBERED_MAX = 1024
"""Specs that are remembered, as digests; beyond, all are forgotten."""

# The volume that the ServiceAccount plug-in adds has a random end, which would make every pod's spec another. As a
# whole JSON string one such name stands for all: consistent renaming breaks no rule and mends none. What takes its
# place is no JSON, so that nothing else is spelled like it.
_TOKEN_VOLUME = re.compile(rb'"kube-api-access-[bcdfghjklmnpqrstvwxz2-9]{5}"')
_ANY_TOKEN_VOLUME = b"\0"
# A generic ephemeral volume's claim is named after its pod: whether that name is good is not the spec's alone.
_BY_NAME = b'"ephemeral":'


def digest(spec: Any) -> bytes | None:
    """SHA-256 of what a spec says; None for one that is not judged by its own bytes alone. About 3 µs, 2 when it is
    asked again, where the rules take 100."""
    try:
        said = orjson.dumps(spec)
    except TypeError:  # no JSON, as an integer beyond 64 bits
        return None
    return _digest(said)


@lru_cache(maxsize=1)  # one pod's is asked for twice, and the next pod is often of the same template
def _digest(said: bytes) -> bytes | None:
    if _BY_NAME in said:
        return None
    if found := _TOKEN_VOLUME.search(said):
        said = said.replace(found[0], _ANY_TOKEN_VOLUME)
    return hashlib.sha256(said).digest()


class Good:
    """What one set of rules, which looks at nothing but the spec, had nothing to say against."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def __contains__(self, found: bytes | None) -> bool:
        return found in self._digests

    def remember(self, found: bytes | None) -> None:
        """None is not remembered."""
        if found is not None:
            if len(self._digests) >= REMEMBERED_MAX:
                self._digests.clear()
            self._digests.add(found)
