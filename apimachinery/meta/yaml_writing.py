"""YAML as sigs.k8s.io/yaml (go-yaml 2) writes it, which is what a kube-apiserver answers and kubectl prints.

Keys are in an order for people (`a2` before `a10`, signs before letters), text of several lines is literal, and what
another reader could take for a number, a date or a boolean is in double quotes. Lines are folded at 80 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cmp_to_key
from typing import Any

import yaml

from apimachinery.meta.yaml_text import plain

_EMITTER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BOTH = (True, True)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)| (\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?)?"
)


def dump(document: Any) -> bytes:
    """document: of JSON's types."""
    events = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False), *_events(document)]
    events += [yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent()]
    text: str = yaml.emit(events, Dumper=_EMITTER, allow_unicode=True)
    # libyaml ends a document that ends in empty lines, which go-yaml does not.
    return (text.removesuffix("...\n") if text.endswith("\n...\n") else text).encode()


def _events(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, implicit=True, flow_style=not value)
        for key in _in_order(value):
            yield _text(key)
            yield from _events(value[key])
        yield yaml.MappingEndEvent()
    elif isinstance(value, list):
        yield yaml.SequenceStartEvent(None, None, implicit=True, flow_style=not value)
        for each in value:
            yield from _events(each)
        yield yaml.SequenceEndEvent()
    elif isinstance(value, str):
        yield _text(value)
    else:
        yield yaml.ScalarEvent(None, None, _BOTH, _spelled(value))


def _spelled(value: float | bool | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value!r}".removesuffix(".0")
    return _exponential(value)


def _exponential(value: float) -> str:
    """As Go's verb %g writes large and small numbers: the fewest digits, and an exponent of two at least."""
    digits = re.sub(r"[-.]", "", f"{value!r}".partition("e")[0]).strip("0")
    return f"{value:.{max(len(digits) - 1, 0)}e}"


def _text(text: str) -> Any:
    style = "|" if "\n" in text else None if _stays_text(text) else '"'
    return yaml.ScalarEvent(None, None, _BOTH, text, style=style)


def _stays_text(text: str) -> bool:
    """Whether it is read as text without quotes."""
    try:
        return type(plain(text)) is str and not _BASE_60.fullmatch(text) and not _is_date(text)
    except ValueError:
        return False  # .inf


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    numbers = [int(each) for each in found.groups() if each is not None]
    try:
        datetime(*numbers)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _in_order(keys: dict[str, Any]) -> list[str]:
    return sorted(keys, key=str if all(key.isalpha() for key in keys) else _by_nature)


def _compare(one: str, other: str) -> int:
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
    if at < 0:
        return len(one) - len(other)
    a, b = one[at], other[at]
    if a.isalpha() or b.isalpha():
        return (1 if a > b else -1) if a.isalpha() and b.isalpha() else (-1 if b.isalpha() else 1)
    # A zero may be within a number that has begun: both then have as many digits before it.
    begun = "1" if "0" in (a, b) and one[:at][len(one[:at].rstrip("0123456789")) :].strip("0") else ""
    digits = [re.match("[0-9]*", key[at:])[0] for key in (one, other)]  # type: ignore[index]
    first, second = (int(begun + each or "0") for each in digits)
    if first != second:
        return first - second
    if len(digits[0]) != len(digits[1]):
        return len(digits[0]) - len(digits[1])
    return 1 if a > b else -1


_by_nature = cmp_to_key(_compare)
"""The order of keys."""
