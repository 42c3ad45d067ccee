"""Resource quantities ("250m", "1.5Gi", "12e6") as exact integers.

Upstream's `resource.Quantity` (k8s.io/apimachinery/pkg/api/resource): a decimal number, a suffix of one of three
families, no finer than nano (finer is rounded away from zero), capped at ±(2^63−1) when it is binary, printed back in
the family it was read in. Parsing is cached: a cluster has a few dozen different spellings, asked for all the time.
"""

import re
from functools import lru_cache

from msgspec import Struct

BINARY_SI = "BinarySI"
DECIMAL_SI = "DecimalSI"
DECIMAL_EXPONENT = "DecimalExponent"

NANO = 10**9
MAX_VALUE = 2**63 - 1

_FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SUFFIX_WRONG = "unable to parse quantity's suffix"
_NUMBER_WRONG = "unable to parse numeric part of quantity"

_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL_NAMES = {power: name for name, power in _DECIMAL.items()}
# An exponent beyond this is far past nano or the cap; refusing to expand it keeps one bad string from costing seconds.
_EXPONENT_LIMIT = 1000
_EXACT_DIGITS = 18


class Quantity(Struct, frozen=True):
    """An exact amount: `nano` units of 10^-9, and the family of suffixes it is printed in."""

    nano: int
    format: str = DECIMAL_SI

    @property
    def value(self) -> int:
        """The amount in whole units, rounded away from zero as upstream's Value() (1m of anything is 1), in 64 bits."""
        return max(-MAX_VALUE, min(_divide_up(self.nano, NANO), MAX_VALUE))

    @property
    def milli(self) -> int:
        """The amount in thousandths, rounded away from zero."""
        return _divide_up(self.nano, NANO // 1000)

    def __add__(self, other: "Quantity") -> "Quantity":
        # Zero has no opinion about the family, as upstream.
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nano, self.format)

    def __lt__(self, other: "Quantity") -> bool:
        return self.nano < other.nano

    def __le__(self, other: "Quantity") -> bool:
        return self.nano <= other.nano

    def __bool__(self) -> bool:
        return self.nano != 0

    def __str__(self) -> str:
        return _print(self)


@lru_cache(maxsize=8192)
def _parse(text: str) -> Quantity:
    if not text:
        raise ValueError(_FORMAT_WRONG)
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(_FORMAT_WRONG)
    sign, whole, fraction, suffix = match.group(1), match.group(2), match.group(3) or "", match.group(4)
    if not whole and not fraction:
        raise ValueError(_FORMAT_WRONG if match.group(3) is None else _NUMBER_WRONG)
    numerator, scale, family = int(whole + fraction or "0"), -len(fraction), DECIMAL_SI
    if suffix in _BINARY:
        numerator, family = numerator << _BINARY[suffix], BINARY_SI
    elif suffix in _DECIMAL:
        scale += _DECIMAL[suffix]
    else:
        exponent = re.fullmatch(r"[eE]([-+]?[0-9]+)", suffix, re.ASCII)
        if exponent is None:
            raise ValueError(_SUFFIX_WRONG)
        scale, family = scale + int(exponent.group(1)), DECIMAL_EXPONENT
    if numerator == 0:
        nano = 0
    elif scale > _EXPONENT_LIMIT:
        nano = MAX_VALUE * NANO
    elif scale >= -9:
        nano = numerator * 10 ** (scale + 9)
    elif scale < -_EXPONENT_LIMIT - len(whole) - len(fraction):
        nano = 1
    else:
        nano = -(-numerator // 10 ** (-scale - 9))
    if family == BINARY_SI:
        nano = min(nano, MAX_VALUE * NANO)
    if family == BINARY_SI and 0 < nano < NANO:
        family = DECIMAL_SI  # "0.5Ki" keeps its family, "0.0005Ki" cannot be printed in it.
    return Quantity(-nano if sign == "-" else nano, family)


def parse(text: str | int | float) -> Quantity:
    """The exact amount of a quantity as it stands in JSON: a string, or a bare number.

    Raises ValueError with upstream's sentence for anything else.
    """
    if isinstance(text, str):
        return _parse(text)
    if isinstance(text, bool) or not isinstance(text, int | float):
        raise ValueError(_FORMAT_WRONG)
    return _parse(repr(text))


def spelled(text: str | int | float) -> str:
    """How the API writes an amount that it has read: as it came where upstream takes it for canonical ("1.500", "+5"),
    else canonically. Raises ValueError."""
    amount = parse(text)
    return text if isinstance(text, str) and _is_kept(text) else _print(amount)


def _is_kept(text: str) -> bool:
    match = _SHAPE.fullmatch(text)
    if match is None:
        return False
    whole, fraction, suffix = match.group(2).lstrip("0") or "0", match.group(3) or "", match.group(4)
    digits = whole + fraction
    if suffix in _BINARY:
        power = _BINARY[suffix]
        return not fraction and len(digits) + power * 3 // 10 < 15 and int(digits) % 8 != 0
    scale = (_DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])) - len(fraction)
    exact = len(digits) <= _EXACT_DIGITS and scale >= -9
    return exact and scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


def is_quantity(text: str | int | float) -> bool:
    """Whether `parse` takes it."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def value(text: str | int | float) -> int:
    """Whole units, rounded away from zero: bytes of "1.5Ki" are 1536, pods of "100m" are 1. Raises ValueError."""
    return parse(text).value


def milli(text: str | int | float) -> int:
    """Thousandths, rounded away from zero: the CPU request "250m" is 250. Raises ValueError."""
    return parse(text).milli


def rounded(text: str | int | float) -> str:
    """The canonical spelling of the amount in whole thousandths, rounded away from zero. Raises ValueError."""
    found = parse(text)
    return _print(Quantity(found.milli * (NANO // 1000), found.format))


def format_value(amount: int, family: str = DECIMAL_SI) -> str:
    """The canonical spelling of so many whole units."""
    return _print(Quantity(amount * NANO, family))


def format_milli(amount: int) -> str:
    """The canonical spelling of so many thousandths, as CPU is written: 250 → "250m", 2000 → "2"."""
    return _print(Quantity(amount * (NANO // 1000), DECIMAL_SI))


def format_bytes(amount: int) -> str:
    """The canonical spelling of so many bytes in the binary family: 1073741824 → "1Gi"."""
    return _print(Quantity(amount * NANO, BINARY_SI))


def _divide_up(number: int, divisor: int) -> int:
    return -(-number // divisor) if number >= 0 else number // divisor


def _print(quantity: Quantity) -> str:
    nano, family = abs(quantity.nano), quantity.format
    sign = "-" if quantity.nano < 0 else ""
    if nano == 0:
        return "0"
    if family == BINARY_SI and nano >= 1024 * NANO and nano % NANO == 0:
        units, step = nano // NANO, 0
        while step < 6 and units % 1024 == 0:
            units, step = units // 1024, step + 1
        return f"{sign}{units}{_BINARY_NAMES[step]}"
    mantissa, power = nano, -9
    while (power < 18 or family == DECIMAL_EXPONENT) and mantissa % 1000 == 0:
        mantissa, power = mantissa // 1000, power + 3
    if family == DECIMAL_EXPONENT:
        return f"{sign}{mantissa}" + (f"e{power}" if power else "")
    return f"{sign}{mantissa}{_DECIMAL_NAMES[power]}"
