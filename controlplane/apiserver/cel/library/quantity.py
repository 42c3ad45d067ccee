"""Quantities (Kubernetes' library.Quantity)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from apimachinery.meta import quantity
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import Overload, overload
from controlplane.apiserver.cel.values import INT_MAX, INT_MIN, Opaque


@dataclass(frozen=True, slots=True)
class QuantityValue(Opaque):
    """An amount, compared by what it amounts to."""

    amount: quantity.Quantity
    cel_name: ClassVar[str] = "kubernetes.Quantity"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and self.amount.nano == other.amount.nano

    def __hash__(self) -> int:
        return hash(self.amount.nano)


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue(quantity.parse(text))
    except ValueError as e:
        raise CelError(str(e)) from None


def _is_integer(value: QuantityValue) -> bool:
    return value.amount.nano % quantity.NANO == 0 and INT_MIN <= value.amount.nano // quantity.NANO <= INT_MAX


def _as_integer(value: QuantityValue) -> int:
    if not _is_integer(value):
        raise CelError("cannot convert value to integer")
    return value.amount.nano // quantity.NANO


def _sign(value: QuantityValue) -> int:
    return (value.amount.nano > 0) - (value.amount.nano < 0)


def _compare(one: QuantityValue, other: QuantityValue) -> int:
    return (one.amount.nano > other.amount.nano) - (one.amount.nano < other.amount.nano)


def _whole(number: int) -> QuantityValue:
    return QuantityValue(quantity.Quantity(number * quantity.NANO))


def _both(name: str, sign: int) -> list[Overload]:
    def with_quantity(one: QuantityValue, other: QuantityValue) -> QuantityValue:
        return QuantityValue(one.amount + other.amount if sign > 0 else one.amount - other.amount)

    return [
        overload(f"Quantity.{name}(Quantity): Quantity", with_quantity),
        overload(f"Quantity.{name}(int): Quantity", lambda one, number: with_quantity(one, _whole(number))),
    ]


FUNCTIONS = [
    overload("quantity(string): Quantity", _parse, 0.1),
    overload("isQuantity(string): bool", quantity.is_quantity, 0.1),
    overload("Quantity.sign(): int", _sign),
    overload("Quantity.isInteger(): bool", _is_integer),
    overload("Quantity.asInteger(): int", _as_integer),
    overload("Quantity.asApproximateFloat(): double", lambda value: value.amount.nano / quantity.NANO),
    overload("Quantity.isGreaterThan(Quantity): bool", lambda one, other: _compare(one, other) > 0),
    overload("Quantity.isLessThan(Quantity): bool", lambda one, other: _compare(one, other) < 0),
    overload("Quantity.compareTo(Quantity): int", _compare),
    *_both("add", 1),
    *_both("sub", -1),
]
