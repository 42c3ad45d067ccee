"""The values an expression works on, and how they compare.

int, float, str, bytes, bool, None, list and dict are Python's own, so that an API object is a value as it is. What
Python has no type for is here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    """A point in time, in nanoseconds since 1970 UTC. offset: seconds east of UTC of the zone it was written in, which
    only its text shows."""

    ns: int
    offset: int = field(default=0, compare=False)

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


class SetList(list[Any]):
    """A list whose order says nothing (x-kubernetes-list-type: set)."""

    __slots__ = ()


class MapList(list[Any]):
    """A list of objects whose order says nothing (x-kubernetes-list-type: map); `keys` tell them apart."""

    __slots__ = ("keys",)

    def __init__(self, items: Iterable[Any], keys: Sequence[str]) -> None:
        super().__init__(items)
        self.keys = keys

    def key(self, item: Any) -> Any:
        """What an item is known by."""
        return tuple(scalar_key(item.get(key)) for key in self.keys) if isinstance(item, dict) else None


def scalar_key(value: Any) -> Any:
    """What equal values have in common; true is not 1."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else (type(value) is bool, value)


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
        if kind is Optional:
            return bool(left.present == right.present and equal(left.value, right.value))
        if not isinstance(left, list):
            return bool(left == right)
    if kind is bool or type(right) is bool:
        return False
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return equal_lists(left, right, equal)
    return False


def equal_lists(left: Sequence[Any], right: Sequence[Any], same: Callable[[Any, Any], bool]) -> bool:
    """By position, unless the left one is a set or tells its items by keys. same: compares two items."""
    if len(left) != len(right):
        return False
    if isinstance(left, MapList):
        known = {left.key(item): item for item in left}
        return all((key := left.key(item)) in known and same(known[key], item) for item in right)
    if isinstance(left, SetList):
        keys = set(map(scalar_key, left))
        return all(scalar_key(item) in keys for item in right)
    return all(map(same, left, right))


def joined(left: list[Any], right: list[Any]) -> list[Any]:
    """`left + right`: what is in a set already is not added; an item that a key knows takes the other's place."""
    if isinstance(left, MapList):
        merged = {left.key(item): item for item in left}
        merged |= {left.key(item): item for item in right}
        return MapList(merged.values(), left.keys)
    if isinstance(left, SetList):
        found = {scalar_key(item): item for item in left}
        for item in right:
            found.setdefault(scalar_key(item), item)
        return SetList(found.values())
    return [*left, *right]


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
