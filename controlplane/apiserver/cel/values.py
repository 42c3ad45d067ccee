"""The values an expression works on, and how they compare.

int, float, str, bytes, bool, None, list and dict are Python's own, so that an API object is a value as it is. What
Python has no type for is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, ClassVar

from controlplane.apiserver.cel.errors import CelError

INT_MAX, INT_MIN, UINT_MAX = 2**63 - 1, -(2**63), 2**64 - 1


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


@total_ordering
@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in nanoseconds."""

    ns: int

    def __lt__(self, other: Duration) -> bool:
        return self.ns < other.ns


@total_ordering
@dataclass(frozen=True, slots=True)
class Timestamp:
    """A point in time, in nanoseconds since 1970 UTC."""

    ns: int

    def __lt__(self, other: Timestamp) -> bool:
        return self.ns < other.ns


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing."""

    value: Any
    present: bool

    @staticmethod
    def of(value: Any) -> Optional:
        return Optional(value, True)


NONE = Optional(None, False)


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What `type(x)` gives and `int` names."""

    name: str


class Opaque:
    """Base of values with methods of their own (Quantity, URL, …); `cel_name` is their type's name."""

    __slots__ = ()
    cel_name: ClassVar[str] = "opaque"


_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    tuple: "list",
    dict: "map",
    Duration: "google.protobuf.Duration",
    Timestamp: "google.protobuf.Timestamp",
    Optional: "optional_type",
    TypeValue: "type",
}


def type_name(value: Any) -> str:
    """The runtime type's name: `int`, `map`, `kubernetes.Quantity`."""
    found = _NAMES.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Opaque):
        return value.cel_name
    return "map" if isinstance(value, Mapping) else "list"


def equal(left: Any, right: Any) -> bool:
    """CEL's `==`: numbers by amount whatever their type, everything else only within its type."""
    kind = type(left)
    if kind is type(right):
        if kind is dict:
            return len(left) == len(right) and all(
                key in right and equal(value, right[key]) for key, value in left.items()
            )
        if kind is list:
            return len(left) == len(right) and all(map(equal, left, right))
        if kind is Optional:
            return bool(left.present == right.present and equal(left.value, right.value))
        return bool(left == right)
    if kind is bool or type(right) is bool:
        return False
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return equal(list(left), list(right))
    return False


def cost_of(value: Any) -> int:
    """How long a string or list is; 1 for what has no length."""
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 1


def whole(number: int, kind: str = "integer") -> int:
    """Refuse what does not fit 64 bits."""
    if INT_MIN <= number <= INT_MAX:
        return number
    raise CelError(f"{kind} overflow")


def unsigned(number: int) -> Uint:
    """Refuse what does not fit 64 bits without a sign."""
    if 0 <= number <= UINT_MAX:
        return Uint(number)
    raise CelError("unsigned integer overflow")
