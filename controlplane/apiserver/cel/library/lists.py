"""Lists and sets: Kubernetes' list library and cel-go's sets extension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import Overload, overload
from controlplane.apiserver.cel.values import Duration, Uint, equal

_ORDERED = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_before = operators.comparison(True, False)


def _is_sorted(items: list[Any]) -> bool:
    return not any(_before(items[at], items[at - 1]) for at in range(1, len(items)))


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        found = items[0] if items else zero
        for item in items[1:]:
            found = operators.add(found, item)
        return found

    return total


def _least(items: list[Any]) -> Any:
    return _extreme(items, "min", lambda item, best: _before(item, best))


def _greatest(items: list[Any]) -> Any:
    return _extreme(items, "max", lambda item, best: _before(best, item))


def _extreme(items: list[Any], name: str, better: Callable[[Any, Any], bool]) -> Any:
    if not items:
        raise CelError(f"{name} called on empty list")
    best = items[0]
    for item in items[1:]:
        if better(item, best):
            best = item
    return best


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((at for at, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((at for at in range(len(items) - 1, -1, -1) if equal(items[at], wanted)), -1)


def _contains(outer: list[Any], inner: list[Any]) -> bool:
    _bounded(outer, inner)
    return all(any(equal(item, each) for each in outer) for item in inner)


def _intersects(one: list[Any], other: list[Any]) -> bool:
    _bounded(one, other)
    return any(equal(item, each) for item in one for each in other)


def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _bounded(one: list[Any], other: list[Any]) -> None:
    # Upstream charges the product of both sizes; more than a call may cost cannot succeed there either.
    if len(one) * len(other) > 1_000_000:
        raise CelError("operation cancelled: actual cost limit exceeded")


def _sums() -> list[Overload]:
    zeros = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}
    return [overload(f"list({kind}).sum(): {kind}", _sum(zero), 1.0) for kind, zero in zeros.items()]


FUNCTIONS = [
    *(overload(f"list({kind}).isSorted(): bool", _is_sorted, 1.0) for kind in _ORDERED),
    *_sums(),
    *(overload(f"list({kind}).min(): {kind}", _least, 1.0) for kind in _ORDERED),
    *(overload(f"list({kind}).max(): {kind}", _greatest, 1.0) for kind in _ORDERED),
    overload("list(A).indexOf(A): int", _index_of, 1.0),
    overload("list(A).lastIndexOf(A): int", _last_index_of, 1.0),
    overload("sets.contains(list(A), list(A)): bool", _contains, 1.0),
    overload("sets.equivalent(list(A), list(A)): bool", _equivalent, 1.0),
    overload("sets.intersects(list(A), list(A)): bool", _intersects, 1.0),
]
