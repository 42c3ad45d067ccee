"""The values at the leaves of the schema: how each JSON value is read, as Go's decoder reads it into the API's types.

`clean` of a type returns the value to keep and tells what is wrong; `normalize` only spells quantities and times
canonically.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import Struct, field

from apimachinery.meta import quantity, times
from apimachinery.meta.paths import Path, Problem, type_invalid


class Findings(Struct):
    """What a walk met: the first error as Go words it, all values of a wrong type, all unknown fields."""

    error: str | None = None
    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def mismatch(self, at: "Place", value: Any, go_type: str, wanted: str) -> None:
        """A value that does not fit a Go type."""
        target = f"Go struct field {at.struct}.{at.go} of type" if at.struct else "Go value of type"
        self.refuse(at, value, f"json: cannot unmarshal {_go_value(value, go_type)} into {target} {go_type}", wanted)

    def refuse(self, at: "Place", value: Any, sentence: str, wanted: str) -> None:
        """A value refused by a type of its own parser."""
        if self.error is None:
            self.error = sentence
        detail = f'{at.path or "<root>"} in body must be {wanted}: "{_json_type(value)}"'
        self.problems.append(type_invalid(Path(at.path), _json_type(value), detail))


class Place(Struct, frozen=True):
    """Where a value stands: its path, Go's field path (without indices), and the struct that holds it."""

    path: str = ""
    go: str = ""
    struct: str = ""

    def field(self, name: str, struct: str) -> "Place":
        """The field below."""
        return Place(f"{self.path}.{name}" if self.path else name, f"{self.go}.{name}" if self.go else name, struct)

    def index(self, position: int) -> "Place":
        """The element of a list."""
        return Place(f"{self.path}[{position}]", self.go, self.struct)

    def key(self, name: str) -> "Place":
        """The entry of a map."""
        return Place(f"{self.path}.{name}", self.go, self.struct)


class Type:
    """Any JSON value (RawExtension, JSON): taken as it is. The base of the others."""

    @property
    def go(self) -> str:
        """The type's name in Go's messages."""
        return "interface {}"

    @property
    def holds_normalized(self) -> bool:
        """True when something at or below has a canonical spelling."""
        return False

    def zero(self) -> Any:
        """What a null element of a list or map becomes."""
        return None

    def clean(self, value: Any, at: Place, out: Findings) -> Any:
        """The value to keep; what is wrong goes to `out`."""
        return value

    def normalize(self, value: Any) -> Any:
        """The value in its canonical spelling; containers are changed in place.

        Raises ValueError for what only a parser can refuse, such as 31 February.
        """
        return value


class Scalar(Type):
    """A string, boolean or number."""

    def __init__(self, go: str, wanted: str, fits: Callable[[Any], bool], zero: Any) -> None:
        self._go, self._wanted, self._fits, self._zero = go, wanted, fits, zero

    @property
    def go(self) -> str:
        return self._go

    def zero(self) -> Any:
        return self._zero

    def clean(self, value: Any, at: Place, out: Findings) -> Any:
        if not self._fits(value):
            out.mismatch(at, value, self.go, f"of type {self._wanted}")
            return self._zero
        return value


class Parsed(Type):
    """A type with a parser of its own: quantities, times, base64, int-or-string."""

    def __init__(self, go: str, wanted: str, parse: Callable[[Any], Any], zero: Any, canonical: bool) -> None:
        self._go, self._wanted, self._parse, self._zero, self._canonical = go, wanted, parse, zero, canonical

    @property
    def go(self) -> str:
        return self._go

    @property
    def holds_normalized(self) -> bool:
        return self._canonical

    def zero(self) -> Any:
        return self._zero

    def clean(self, value: Any, at: Place, out: Findings) -> Any:
        try:
            return self._parse(value)
        except TypeError:
            out.mismatch(at, value, self.go, self._wanted)
        except ValueError as problem:
            out.refuse(at, value, str(problem), self._wanted)
        return self._zero

    def normalize(self, value: Any) -> Any:
        return self._parse(value)


def _go_value(value: Any, go_type: str) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if go_type in ("int32", "int64") else "number"
    return _json_type(value)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _integer(bits: int) -> Callable[[Any], bool]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _parse_quantity(value: Any) -> str:
    return _spelled(value) if isinstance(value, str) else quantity.spelled(value)


@lru_cache(maxsize=4096)  # a few amounts are in every pod
def _spelled(text: str) -> str:
    return quantity.spelled(text.strip())


@lru_cache(maxsize=4096)  # an object is written many times with the same times
def _parse_time(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value if len(value) == 20 and value[-1] == "Z" and times.parse(value) else times.rfc3339(times.parse(value))


def _parse_micro_time(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return times.rfc3339_micro(times.parse(value))


def _parse_bytes(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    try:
        b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except Base64Error:
        raise ValueError("illegal base64 data at input byte " + str(_illegal_byte(value))) from None
    return value


def _illegal_byte(text: str) -> int:
    alphabet = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    return next((position for position, char in enumerate(text) if char not in alphabet), len(text) // 4 * 4)


def _parse_int_or_string(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int) and _integer(32)(value)):
        return value
    raise TypeError


STRING = Scalar("string", "string", lambda value: isinstance(value, str), "")
BOOL = Scalar("bool", "boolean", lambda value: isinstance(value, bool), False)
INT32 = Scalar("int32", "integer", _integer(32), 0)
INT64 = Scalar("int64", "integer", _integer(64), 0)
FLOAT64 = Scalar("float64", "number", lambda value: isinstance(value, int | float) and not isinstance(value, bool), 0)
BYTES = Parsed("[]uint8", "of type string", _parse_bytes, "", False)

SPECIAL: dict[str, Type] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Parsed(
        "resource.Quantity", "a quantity", _parse_quantity, "0", True
    ),
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": Parsed("string", "a RFC 3339 time", _parse_time, None, True),
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": Parsed(
        "string", "a RFC 3339 time", _parse_micro_time, None, True
    ),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Parsed(
        "int32", "an integer or a string", _parse_int_or_string, 0, False
    ),
}
