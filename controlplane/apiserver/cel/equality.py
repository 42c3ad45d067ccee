"""Equality of values whose types say more than the values do: the fields of an object as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.apiserver.cel.types import DOUBLE, INT, ObjectType, Type
from controlplane.apiserver.cel.values import Optional, equal, equal_lists

Same = Callable[[Any, Any], bool]


def comparer(kind: Type) -> Same:
    """Compares two values of that type; `equal` itself where no field below is read as something else."""
    if isinstance(kind, ObjectType):
        return _objects(kind)
    inner = comparer(kind.args[-1]) if kind.args else equal
    if inner is equal:
        return equal
    match kind.name:
        case "list":
            return lambda left, right: _both(list, left, right) and equal_lists(left, right, inner)
        case "map":
            return lambda left, right: _both(dict, left, right) and _same_entries(left, right, lambda _: inner)
        case "optional_type":
            return lambda left, right: (
                _both(Optional, left, right)
                and left.present == right.present
                and (not left.present or inner(left.value, right.value))
            )
    return equal


def _objects(kind: ObjectType) -> Same:
    known = {field.name: _of_field(field.type, field.read) for field in kind.fields.values()}
    if all(same is equal for same in known.values()):
        return equal
    return lambda left, right: (
        _both(dict, left, right) and _same_entries(left, right, lambda name: known.get(name, equal))
    )


def _of_field(kind: Type, read: Callable[[Any], Any] | None) -> Same:
    same = comparer(kind)
    if read is None or kind in (INT, DOUBLE):
        return same  # numbers are equal by amount, read or not
    return lambda left, right: left is right if left is None or right is None else same(read(left), read(right))


def _both(kind: type, left: Any, right: Any) -> bool:
    return isinstance(left, kind) and isinstance(right, kind)


def _same_entries(left: dict[str, Any], right: dict[str, Any], by: Callable[[str], Same]) -> bool:
    return len(left) == len(right) and all(name in right and by(name)(left[name], right[name]) for name in left)
