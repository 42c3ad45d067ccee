"""Texts, numbers and enumerations against a schema, in the words of kube-openapi (pkg/validation/validate).

Of the bounds of a text only the first that is broken is told. The formats of numbers (int32, double…) mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from apimachinery.meta.paths import Path, Problem, invalid, not_supported, too_long, type_invalid
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library.regex import matches
from controlplane.apiserver.cel.operators import go_float
from controlplane.apiserver.extensions.formats import FORMATS
from controlplane.apiserver.extensions.go_values import go_value

Schema = Mapping[str, Any]


def text_problems(schema: Schema, value: str, where: Path, name: str) -> Iterator[Problem]:
    """Length, pattern and format of a text. name: what messages call the value."""
    length, limit, least = len(value), schema.get("maxLength"), schema.get("minLength")
    pattern, form = schema.get("pattern"), schema.get("format")
    if limit is not None and length > limit:
        yield too_long(where, limit)
    elif least is not None and length < least:
        yield invalid(where, value, f"{name} in body should be at least {least} chars long")
    elif pattern and not _fits(value, pattern):
        yield invalid(where, value, f"{name} in body should match '{pattern}'")
    if form in FORMATS and not FORMATS[form](value):
        yield type_invalid(where, value, f'{name} in body must be of type {form}: "{value}"')


def _fits(value: str, pattern: str) -> bool:
    try:
        return matches(value, pattern)
    except CelError:
        return False  # refused when the definition was written; an old one may still hold it


def number_problems(schema: Schema, value: float, where: Path, name: str) -> Iterator[Problem]:
    """Step and bounds of a number. Those of an integer are cut down to integers."""
    limit, least, step = schema.get("maximum"), schema.get("minimum"), schema.get("multipleOf")
    if step and not _is_multiple(value, step):
        yield invalid(where, value, f"{name} in body should be a multiple of {_shown(step, value)}")
    if least is not None:
        least = int(least) if isinstance(value, int) else least
        if value <= least if schema.get("exclusiveMinimum") else value < least:
            words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
            yield invalid(where, value, f"{name} in body should be {words} {_shown(least, value)}")
    if limit is not None:
        limit = int(limit) if isinstance(value, int) else limit
        if value >= limit if schema.get("exclusiveMaximum") else value > limit:
            words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
            yield invalid(where, value, f"{name} in body should be {words} {_shown(limit, value)}")


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and int(step) > 0:
        return value % int(step) == 0
    return (1 / step * value if step < 1 else value / step).is_integer()


def _shown(bound: float, value: float) -> str:
    return str(int(bound)) if isinstance(value, int) and int(bound) else go_float(float(bound))


def enum_problems(schema: Schema, value: Any, where: Path) -> Iterator[Problem]:
    """Whether the value is one of those that are listed. A null never is, not even where one is listed."""
    allowed = schema.get("enum")
    if not allowed or (value is not None and any(_same(each, value) for each in allowed)):
        return
    shown = [each if isinstance(each, str) else orjson.dumps(each).decode() for each in allowed]
    yield not_supported(where, go_value(value), shown)


def _same(one: Any, other: Any) -> bool:
    numbers = (int, float)
    return bool(one == other) and (type(one) is type(other) or (type(one) in numbers and type(other) in numbers))
