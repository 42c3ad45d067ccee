"""Optional values (cel-go's OptionalTypes; `?` in selections and literals is the planner's)."""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import overload
from controlplane.apiserver.cel.values import NONE, Duration, Optional, Timestamp, equal

_YEAR_ONE = Timestamp(-62135596800 * 10**9)
"""Go's zero time."""


def _of_non_zero(value: Any) -> Optional:
    zeros: tuple[Any, ...] = (False, 0, "", b"", [], {}, Duration(0), _YEAR_ONE)
    empty = value is None or any(equal(value, zero) for zero in zeros)
    return NONE if empty else Optional.of(value)


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise CelError("optional.none() dereference")
    return optional.value


FUNCTIONS = [
    overload("optional.of(A): optional(A)", Optional.of),
    overload("optional.ofNonZeroValue(A): optional(A)", _of_non_zero),
    overload("optional.none(): optional(A)", lambda: NONE),
    overload("optional(A).hasValue(): bool", lambda optional: optional.present),
    overload("optional(A).value(): A", _value),
    overload("optional(A).or(optional(A)): optional(A)", lambda one, other: one if one.present else other),
    overload("optional(A).orValue(A): A", lambda one, other: one.value if one.present else other),
]
