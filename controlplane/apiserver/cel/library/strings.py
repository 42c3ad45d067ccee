"""String functions: cel-go's standard ones and version 2 of its strings extension."""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library.formatting import formatted
from controlplane.apiserver.cel.overloads import overload

_SPACES = "".join(
    map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_QUOTED = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise CelError(f"index out of range: {at}")
    return text[at : at + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if part == "":
        return offset
    if not 0 <= offset <= len(text):
        raise CelError(f"index out of range: {offset}")
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return len(text) if part == "" else text.rfind(part)
    if part == "":
        return offset
    if not 0 <= offset <= len(text):
        raise CelError(f"index out of range: {offset}")
    return text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    if len(new) * (len(text) + 1) > 8 << 20:
        raise CelError("string is too large")
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator == "":
        pieces = list(text)
        return pieces if limit < 0 or limit >= len(pieces) else [*pieces[: limit - 1], "".join(pieces[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        end = len(text)
    elif start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    for at in (start, end):
        if not 0 <= at <= len(text):
            raise CelError(f"index out of range: {at}")
    return text[start:end]


def _join(items: list[Any], separator: str = "") -> str:
    if not all(type(item) is str for item in items):
        raise CelError(operators.NO_OVERLOAD)
    return separator.join(items)


def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(char, char) for char in text) + '"'


FUNCTIONS = [
    overload("string.contains(string): bool", str.__contains__, 0.1),
    overload("string.startsWith(string): bool", str.startswith, 0.1),
    overload("string.endsWith(string): bool", str.endswith, 0.1),
    overload("string.charAt(int): string", _char_at),
    overload("string.indexOf(string): int", _index_of, 0.1),
    overload("string.indexOf(string, int): int", _index_of, 0.1),
    overload("string.lastIndexOf(string): int", _last_index_of, 0.1),
    overload("string.lastIndexOf(string, int): int", _last_index_of, 0.1),
    overload("string.lowerAscii(): string", lambda text: text.translate(_LOWER), 0.1),
    overload("string.upperAscii(): string", lambda text: text.translate(_UPPER), 0.1),
    overload("string.trim(): string", lambda text: text.strip(_SPACES), 0.1),
    overload("string.replace(string, string): string", _replace, 0.3),
    overload("string.replace(string, string, int): string", _replace, 0.3),
    overload("string.split(string): list(string)", _split, 0.1),
    overload("string.split(string, int): list(string)", _split, 0.1),
    overload("string.substring(int): string", _substring, 0.1),
    overload("string.substring(int, int): string", _substring, 0.1),
    overload("string.format(list(dyn)): string", formatted, 0.1),
    overload("list(string).join(): string", _join, 1.0),
    overload("list(string).join(string): string", _join, 1.0),
    overload("strings.quote(string): string", _quote, 0.1),
]
