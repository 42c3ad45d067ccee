"""Image references: whether a name is one, and why not, in the words of upstream's parser (distribution/reference)."""

from __future__ import annotations

import re

# A reference as the distribution specification spells it: host and port, lower-case path, tag, digest.
_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_ID = re.compile(r"[a-f0-9]{64}")


def fault(image: str) -> str | None:
    """What is wrong with the name of an image; None when it can be pulled."""
    if _ID.fullmatch(image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    repository = _repository(image).partition(":")[0]
    if repository != repository.lower():
        return f"invalid reference format: repository name ({repository}) must be lowercase"
    return None if _REFERENCE.fullmatch(image) else "invalid reference format"


def _repository(image: str) -> str:
    """What follows the registry; a plain name of the default registry is below `library`."""
    first, slash, rest = image.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        first, rest = "docker.io", image
    return f"library/{rest}" if first in ("docker.io", "index.docker.io") and "/" not in rest else rest
