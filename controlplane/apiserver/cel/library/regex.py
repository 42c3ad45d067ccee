"""matches, find and findAll with RE2 itself, as upstream: the time is linear in the text whatever the pattern."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import overload

_MAX_PATTERN = 10_000


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """RE2's program. Raises CelError with Go's words."""
    re2: Any = importlib.import_module("re2")  # an extension of its own: a server without a pattern need not load it

    options = re2.Options()
    options.log_errors = False
    try:
        if len(pattern) > _MAX_PATTERN:
            raise CelError("error parsing regexp: expression too large")
        return re2.compile(pattern, options)
    except re2.error as e:
        text = e.args[0].decode() if e.args and isinstance(e.args[0], bytes) else str(e)
        reason, _, part = text.partition(": ")
        raise CelError(f"error parsing regexp: {reason}: `{part}`") from None


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises CelError for a pattern that is none."""
    return compiled(pattern).search(text) is not None


def _asked(pattern: str) -> Any:
    """The program of a pattern that find and findAll are given."""
    try:
        return compiled(pattern)
    except CelError as error:
        raise CelError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    match = _asked(pattern).search(text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in _asked(pattern).finditer(text):
        if len(found) == limit:
            break
        found.append(match.group())
    return found


FUNCTIONS = [
    overload("matches(string, string): bool", matches, 0.25),
    overload("string.matches(string): bool", matches, 0.25),
    overload("string.find(string): string", _find, 0.25),
    overload("string.findAll(string): list(string)", _find_all, 0.25),
    overload("string.findAll(string, int): list(string)", _find_all, 0.25),
]
