"""`template.format(arguments)` of cel-go's strings extension: the verbs s d f e b x X o and %%, in the locale en_US."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from apimachinery.meta.go_print import quoted
from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library import times
from controlplane.apiserver.cel.types import Type
from controlplane.apiserver.cel.values import Duration, Timestamp, TypeValue, Uint, type_name

_DIGITS = 6
_MOST_DIGITS = 1000
_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_RAISED = str.maketrans("0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b")
_TIMES = "\u202f\u00d7\u202f10"
_SENTENCES = {
    "s": "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
    "timestamps",
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "b": "only integers and bools can be formatted as binary",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "X": "only integers, byte buffers, and strings can be formatted as hex",
    "o": "octal clause can only be used on integers",
}
_TYPES = {
    "s": (
        *("list", "map", "int", "uint", "double", "bool", "string", "bytes", "type", "null_type"),
        *("google.protobuf.Timestamp", "google.protobuf.Duration"),
    ),
    "d": ("int", "uint"),
    "f": ("double", "string"),
    "e": ("double", "string"),
    "b": ("int", "uint", "bool"),
    "x": ("int", "uint", "string", "bytes"),
    "X": ("int", "uint", "string", "bytes"),
    "o": ("int", "uint"),
}


def formatted(template: str, args: list[Any]) -> str:
    """The text. Raises CelError."""
    return "".join(
        piece if isinstance(piece, str) else _written(piece[0], piece[1], _argument(args, piece[2]))
        for piece in _pieces(template)
    )


def misfit(template: str, kinds: Sequence[Type]) -> tuple[int | None, str] | None:
    """What is wrong with a literal template and a literal list of arguments of these types: the argument (None: the
    whole call) and the message."""
    used = 0
    try:
        for piece in _pieces(template):
            if isinstance(piece, str):
                continue
            verb, _, at = piece
            kind = _argument(kinds, at).name
            used += 1
            if kind not in (*_TYPES[verb], "dyn", "free", "error"):
                return at, f"error during formatting: {_SENTENCES[verb]}, was given {kind}"
    except CelError as error:
        return None, str(error)
    if len(kinds) > used:
        return None, f"too many arguments supplied to string.format (expected {used}, got {len(kinds)})"
    return None


def _argument(args: Sequence[Any], at: int) -> Any:
    if at >= len(args):
        raise CelError(f"index {at} out of range")
    return args[at]


Clause = tuple[str, int, int]
"""A verb, its precision, the position of its argument."""


def _pieces(template: str) -> Iterator[str | Clause]:
    at = used = 0
    while at < len(template):
        start = template.find("%", at)
        if start < 0:
            yield template[at:]
            return
        yield template[at:start]
        if template[start + 1 : start + 2] == "%":
            yield "%"
            at = start + 2
            continue
        if start + 1 == len(template):
            raise CelError("unexpected end of string")
        precision, at = _precision(template, start + 1)
        verb = template[at]
        at += 1
        if verb not in _SENTENCES:
            raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
        yield verb, precision, used
        used += 1


def _precision(template: str, at: int) -> tuple[int, int]:
    """The precision that begins there, or the usual one; and where it ends."""
    if template[at] != ".":
        return _DIGITS, at
    end = at + 1
    while template[end : end + 1].isascii() and template[end : end + 1].isdigit():
        end += 1
    wrong = "could not parse formatting clause: error while parsing precision: "
    if end == len(template):
        raise CelError(f"{wrong}could not find end of precision specifier")
    digits = template[at + 1 : end]
    if not digits:
        raise CelError(f'{wrong}error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax')
    return min(int(digits[:9]), _MOST_DIGITS), end


def _written(verb: str, precision: int, value: Any) -> str:
    write = _WRITERS[verb]
    text = write(value, precision)
    if text is None:
        raise CelError(f"error during formatting: {_SENTENCES[verb]}, was given {type_name(value)}")
    return text


def _is_whole(value: Any) -> bool:
    return type(value) in (int, Uint)


def _double(value: Any) -> float | None:
    if type(value) is str:
        return _SPELLED.get(value)
    return value if type(value) is float else None


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    return None if math.isfinite(value) else "\u221e" if value > 0 else "-\u221e"


def _fixed(value: Any, precision: int) -> str | None:
    number = _double(value)
    return None if number is None else _special(number) or f"{number:,.{precision}f}"


def _scientific(value: Any, precision: int) -> str | None:
    number = _double(value)
    if number is None:
        return None
    if special := _special(number):
        return special
    mantissa, _, power = f"{number:.{precision}e}".partition("e")
    return f"{mantissa}{_TIMES}{power.removeprefix('+').translate(_RAISED)}"


def _hexadecimal(value: Any, _: int) -> str | None:
    if _is_whole(value):
        return f"{int(value):x}"
    if type(value) in (str, bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    return None


def _upper(value: Any, _: int) -> str | None:
    text = _hexadecimal(value, 0)
    return None if text is None else text.upper()


def _binary(value: Any, _: int) -> str | None:
    return f"{int(value):b}" if _is_whole(value) or type(value) is bool else None


_WRITERS: dict[str, Callable[[Any, int], str | None]] = {
    "s": lambda value, _: _plain(value),
    "d": lambda value, _: str(int(value)) if _is_whole(value) else None,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "x": _hexadecimal,
    "X": _upper,
    "o": lambda value, _: f"{int(value):o}" if _is_whole(value) else None,
}


def _plain(value: Any) -> str:
    """A value as text."""
    if type(value) is str:
        return value
    if type(value) is bytes:
        return value.decode(errors="replace")
    if type(value) in (Duration, Timestamp):
        return times.text_of(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        entries = sorted((_key(key), _literal(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}:{item}" for key, item in entries) + "}"
    if type(value) is TypeValue:
        return value.name
    if value is None or type(value) in (bool, int, Uint, float):
        return operators.shown(value)
    raise CelError(f"error during formatting: {_SENTENCES['s']}, was given {type_name(value)}")


def _key(key: Any) -> str:
    return quoted(key) if type(key) is str else operators.shown(key)


def _literal(value: Any) -> str:
    """A value within a list or map, as an expression would write it."""
    match value:
        case str():
            return quoted(value)
        case bytes():
            return "b" + quoted(_plain(value))
        case float():
            special = {math.inf: '"+Inf"', -math.inf: '"-Inf"'}.get(value)
            return special or ('"NaN"' if math.isnan(value) else f"{value:.{_DIGITS}f}")
        case Duration() | Timestamp():
            return f"{type_name(value).rpartition('.')[2].lower()}({quoted(_plain(value))})"
    if value is None or type(value) in (bool, int, Uint, TypeValue) or isinstance(value, list | dict):
        return _plain(value)
    raise CelError(f"error during formatting: no formatting function for {type_name(value)}")
