"""What the operators do with values of any types; the checker has refused what can be known to be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.values import (
    INT_MAX,
    INT_MIN,
    NONE,
    Duration,
    Optional,
    Timestamp,
    Uint,
    equal,
    joined,
    unsigned,
    whole,
)

NO_OVERLOAD = "no such overload"
_MISSING = object()


def add(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            total = left + right
            if INT_MIN <= total <= INT_MAX:
                return total
            raise CelError("integer overflow")
        if kind in (str, float, bytes):
            return left + right
        if kind is Uint:
            return unsigned(int(left) + int(right))
        if kind is Duration:
            return Duration(whole(left.ns + right.ns))
    if isinstance(left, list) and isinstance(right, list):
        return joined(left, right)
    if kind is Timestamp and type(right) is Duration:
        return timestamp(left.ns + right.ns, left.offset)
    if kind is Duration and type(right) is Timestamp:
        return timestamp(left.ns + right.ns, right.offset)
    raise CelError(NO_OVERLOAD)


def subtract(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return whole(left - right)
        if kind is float:
            return left - right
        if kind is Uint:
            return unsigned(int(left) - int(right))
        if kind in (Duration, Timestamp):
            return Duration(whole(left.ns - right.ns))
    if kind is Timestamp and type(right) is Duration:
        return timestamp(left.ns - right.ns, left.offset)
    raise CelError(NO_OVERLOAD)


def multiply(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return whole(left * right)
        if kind is float:
            return left * right
        if kind is Uint:
            return unsigned(int(left) * int(right))
    raise CelError(NO_OVERLOAD)


def divide(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind in (int, Uint):
            if right == 0:
                raise CelError("division by zero")
            quotient = abs(int(left)) // abs(int(right))
            if kind is Uint:
                return Uint(quotient)
            return whole(quotient if (left < 0) == (right < 0) else -quotient)
        if kind is float:
            if right == 0:
                sign = math.copysign(1, left) * math.copysign(1, right)
                return math.nan if left == 0 or math.isnan(left) else sign * math.inf
            return left / right
    raise CelError(NO_OVERLOAD)


def modulo(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right) and kind in (int, Uint):
        if right == 0:
            raise CelError("modulus by zero")
        rest = abs(int(left)) % abs(int(right))
        return Uint(rest) if kind is Uint else (-rest if left < 0 else rest)
    raise CelError(NO_OVERLOAD)


def negate(value: Any) -> Any:
    if type(value) is int:
        return whole(-value)
    if type(value) is float:
        return -value
    raise CelError(NO_OVERLOAD)


def invert(value: Any) -> Any:
    if type(value) is bool:
        return not value
    raise CelError(NO_OVERLOAD)


def timestamp(ns: int, offset: int = 0) -> Timestamp:
    """Refuse what is outside the years 1 to 9999."""
    if -62135596800 * 10**9 <= ns < 253402300800 * 10**9:
        return Timestamp(ns, offset)
    raise CelError("timestamp overflow")


def comparison(less: bool, same: bool) -> Callable[[Any, Any], bool]:
    """`<`, `<=`, `>` or `>=`: less says which side must be smaller, same whether equality will do."""

    def compare(left: Any, right: Any) -> bool:
        kind, other = type(left), type(right)
        if kind is not other:
            if kind not in (int, Uint, float) or other not in (int, Uint, float):
                raise CelError(NO_OVERLOAD)
        elif kind not in (int, str, float, Uint, bool, bytes, Timestamp, Duration):
            raise CelError(NO_OVERLOAD)
        if left == right:
            return same
        return bool(left < right if less else left > right)

    return compare


def contained(item: Any, within: Any) -> bool:
    """`in`."""
    if isinstance(within, dict):
        try:
            return lookup(within, item) is not _MISSING
        except CelError:
            return False
    if isinstance(within, list):
        return any(equal(item, each) for each in within)
    raise CelError(NO_OVERLOAD)


def lookup(mapping: dict[Any, Any], key: Any) -> Any:
    """The value, or a mark that only this module knows. 1, 1u and 1.0 are one key; true and 1 are two."""
    kind = type(key)
    if kind is str:
        return mapping.get(key, _MISSING)
    if kind not in (int, Uint, float, bool):
        raise CelError(f"unsupported key type: {kind.__name__}")
    for each in mapping:
        if equal(each, key):
            return mapping[each]
    return _MISSING


def index(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if isinstance(value, dict):
        found = lookup(value, key)
        if found is _MISSING:
            raise CelError(f"no such key: {shown(key)}")
        return found
    if isinstance(value, list):
        if type(key) is float and key.is_integer():
            key = int(key)
        if type(key) not in (int, Uint):
            raise CelError(f"unsupported index type '{type(key).__name__}' in list")
        if not 0 <= key < len(value):
            raise CelError(f"index out of bounds: {key}")
        return value[key]
    if type(value) is Optional:
        return optional_index(value, key)
    raise CelError(NO_OVERLOAD)


def optional_index(value: Any, key: Any) -> Optional:
    """`value[?key]`."""
    if type(value) is Optional:
        if not value.present:
            return NONE
        value = value.value
    if isinstance(value, dict):
        found = lookup(value, key)
        return NONE if found is _MISSING else Optional.of(found)
    if isinstance(value, list):
        if type(key) not in (int, Uint):
            raise CelError(NO_OVERLOAD)
        return Optional.of(value[key]) if 0 <= key < len(value) else NONE
    raise CelError(NO_OVERLOAD)


def shown(value: Any) -> str:
    """A scalar as Go's %v prints it."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return go_float(value)
    return "null" if value is None else str(value)


def go_float(value: float) -> str:
    """strconv.FormatFloat(value, 'g', -1, 64) with CEL's names of the special ones."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "neither infinite nor no number"
    power = len(digits) + exponent - 1
    if -4 <= power < 6:
        return f"{Decimal((sign, digits, exponent)):f}"
    text = "".join(map(str, digits))
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{'-' if sign else ''}{mantissa}e{'+' if power >= 0 else '-'}{abs(power):02d}"
