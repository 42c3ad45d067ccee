"""The operators with plain overloads, size, and the conversions between scalars (cel-go's standard library)."""

from __future__ import annotations

import math
from typing import Any

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import Overload, overload
from controlplane.apiserver.cel.values import INT_MAX, INT_MIN, UINT_MAX, Duration, Timestamp, Uint, unsigned

_TRUE = frozenset({"1", "t", "true", "TRUE", "True", "T"})
_FALSE = frozenset({"0", "f", "false", "FALSE", "False", "F"})
_LONGEST = 4000
"""Digits that Python reads at once; leading zeros count in Go, too, for nothing."""


def _to_int(value: Any) -> int:
    if type(value) is float:
        if math.isnan(value) or not INT_MIN < value < INT_MAX:
            raise CelError("integer overflow")
        return int(value)
    if type(value) is str:
        return _number(value, INT_MIN, INT_MAX, "int")
    if type(value) is Timestamp:
        return value.ns // 10**9
    if type(value) is Duration:
        return value.ns
    if int(value) > INT_MAX:
        raise CelError("integer overflow")
    return int(value)


def _to_uint(value: Any) -> Uint:
    if type(value) is float:
        if math.isnan(value) or not 0 <= value < UINT_MAX:
            raise CelError("unsigned integer overflow")
        return Uint(int(value))
    if type(value) is str:
        return Uint(_number(value, 0, UINT_MAX, "uint"))
    return unsigned(int(value))


def _number(text: str, low: int, high: int, kind: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") and low < 0 else text
    if not (digits.isascii() and digits.isdigit()):
        raise _unconvertible(kind)
    value = int(text) if len(text) < _LONGEST else INT_MAX * INT_MAX
    if not low <= value <= high:
        raise _unconvertible(kind)
    return value


def _unconvertible(kind: str) -> CelError:
    return CelError(f"type conversion error from 'string' to '{kind}'")


def _to_double(value: Any) -> float:
    if type(value) is str:
        try:
            if "_" in value or value != value.strip():
                raise ValueError
            return float(value)
        except ValueError:
            raise _unconvertible("double") from None
    return float(value)


def _to_string(value: Any) -> str:
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    return operators.shown(value)


def _to_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _unconvertible("bool")


def _arithmetic() -> list[Overload]:
    found = []
    for name, run, kinds in (
        ("_+_", operators.add, "int uint double"),
        ("_-_", operators.subtract, "int uint double"),
        ("_*_", operators.multiply, "int uint double"),
        ("_/_", operators.divide, "int uint double"),
        ("_%_", operators.modulo, "int uint"),
    ):
        found += [overload(f"{name}({kind}, {kind}): {kind}", run) for kind in kinds.split()]
    for kind in ("string", "bytes", "list(A)"):
        found.append(overload(f"_+_({kind}, {kind}): {kind}", operators.add, 0.1))
    for first, operator, second, result in (
        ("timestamp", "+", "duration", "timestamp"),
        ("duration", "+", "timestamp", "timestamp"),
        ("duration", "+", "duration", "duration"),
        ("timestamp", "-", "timestamp", "duration"),
        ("timestamp", "-", "duration", "timestamp"),
        ("duration", "-", "duration", "duration"),
    ):
        run = operators.add if operator == "+" else operators.subtract
        found.append(overload(f"_{operator}_({first}, {second}): {result}", run))
    return found


def _ordering() -> list[Overload]:
    found = []
    numbers = ("int", "uint", "double")
    pairs = [(one, other) for one in numbers for other in numbers]
    pairs += [(kind, kind) for kind in ("bool", "string", "bytes", "timestamp", "duration")]
    for name, less, same in (("_<_", True, False), ("_<=_", True, True), ("_>_", False, False), ("_>=_", False, True)):
        run = operators.comparison(less, same)
        for one, other in pairs:
            found.append(overload(f"{name}({one}, {other}): bool", run, 0.1 if one in ("string", "bytes") else 0.0))
    return found


FUNCTIONS = [
    *_arithmetic(),
    *_ordering(),
    overload("-_(int): int", operators.negate),
    overload("-_(double): double", operators.negate),
    overload("!_(bool): bool", operators.invert),
    overload("@in(A, list(A)): bool", operators.contained, 1.0),
    overload("@in(A, map(A, B)): bool", operators.contained),
    overload("_[_](list(A), int): A", operators.index),
    overload("_[_](map(A, B), A): B", operators.index),
    overload("_[_](optional(list(A)), int): optional(A)", operators.index),
    overload("_[_](optional(map(A, B)), A): optional(B)", operators.index),
    overload("_[?_](list(A), int): optional(A)", operators.optional_index),
    overload("_[?_](map(A, B), A): optional(B)", operators.optional_index),
    overload("_[?_](optional(list(A)), int): optional(A)", operators.optional_index),
    overload("_[?_](optional(map(A, B)), A): optional(B)", operators.optional_index),
    *(
        overload(signature, len)
        for kind in ("string", "bytes", "list(A)", "map(A, B)")
        for signature in (f"size({kind}): int", f"{kind}.size(): int")
    ),
    *(overload(f"int({kind}): int", _to_int) for kind in ("int", "uint", "double", "string", "timestamp", "duration")),
    *(overload(f"uint({kind}): uint", _to_uint) for kind in ("uint", "int", "double", "string")),
    *(overload(f"double({kind}): double", _to_double) for kind in ("double", "int", "uint", "string")),
    *(
        overload(f"string({kind}): string", _to_string, 0.1 if kind in ("string", "bytes") else 0.0)
        for kind in ("string", "bool", "int", "uint", "double", "bytes")
    ),
    overload("bytes(bytes): bytes", bytes),
    overload("bytes(string): bytes", str.encode, 0.1),
    overload("bool(bool): bool", _to_bool),
    overload("bool(string): bool", _to_bool),
]
