"""What Go's encoding/json says of bytes that are no JSON object (scanner.go, decode.go)."""

import re

import orjson

_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = (b"true", b"false", b"null")
_MAX_DEPTH = 10_000
_END = "unexpected end of JSON input"


class _SyntaxError(ValueError):
    """Carries Go's sentence."""


def object_error(text: bytes) -> str | None:
    """Why the text cannot be read into a map[string]interface{}; None when it can (null reads as an empty map)."""
    value: object
    try:
        value = orjson.loads(text)
    except ValueError:
        try:
            _scan(text)
        except _SyntaxError as error:
            return str(error)
        # What Go lets through: nesting to ten thousand, text that is not UTF-8.
        value = {b"{": {}, b"n": None, b"[": [], b'"': ""}.get(text.lstrip()[:1], 0)
    if value is None or isinstance(value, dict):
        return None
    return f"json: cannot unmarshal {_kind(value)} into Go value of type map[string]interface {{}}"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "number"


def _refused(text: bytes, at: int, context: str) -> _SyntaxError:
    if at >= len(text):
        return _SyntaxError(_END)
    return _SyntaxError(f"invalid character '{_shown(chr(text[at]))}' {context}")


def _shown(char: str) -> str:
    """A byte as Go quotes it."""
    number = ord(char)
    if char in "'\\":
        return "\\" + char
    if char.isprintable():
        return char
    if 7 <= number <= 13:
        return "\\" + "abtnvfr"[number - 7]
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}"


def _skip(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _scan(text: bytes) -> None:
    """Walk the whole text without recursion. Raises _SyntaxError at the first byte that cannot be."""
    open_: list[int] = []
    at, empty = 0, False
    while True:
        at = _skip(text, at)
        if empty and text[at : at + 1] in (b"]", b"}") and text[at] == open_[-1]:
            open_.pop()
            at, empty = at + 1, False
        else:
            if open_ and open_[-1] == ord("}"):
                at = _key(text, at)
            at, opened = _value(text, at)
            if opened:
                open_.append(opened)
                if len(open_) > _MAX_DEPTH:
                    raise _SyntaxError("exceeded max depth")
                empty = True
                continue
        at, empty = _skip(text, at), False
        while open_ and text[at : at + 1] == bytes((open_[-1],)):
            open_.pop()
            at = _skip(text, at + 1)
        if not open_:
            if at < len(text):
                raise _refused(text, at, "after top-level value")
            return
        if text[at : at + 1] != b",":
            raise _refused(text, at, "after array element" if open_[-1] == ord("]") else "after object key:value pair")
        at += 1


def _key(text: bytes, at: int) -> int:
    if text[at : at + 1] != b'"':
        raise _refused(text, at, "looking for beginning of object key string")
    at = _skip(text, _string(text, at))
    if text[at : at + 1] != b":":
        raise _refused(text, at, "after object key")
    return _skip(text, at + 1)


def _value(text: bytes, at: int) -> tuple[int, int]:
    """Where the value ends, and 0; or where the inside of an object or a list begins, and what closes it."""
    first = text[at : at + 1]
    if first in (b"{", b"["):
        return at + 1, ord("}" if first == b"{" else "]")
    if first == b'"':
        return _string(text, at), 0
    if first == b"-" or first.isdigit():
        return _number(text, at), 0
    for word in _WORDS:
        if first and word.startswith(first):
            return _word(text, at, word), 0
    raise _refused(text, at, "looking for beginning of value")


def _string(text: bytes, at: int) -> int:
    at += 1
    while True:
        found = _PLAIN.match(text, at)
        at = found.end() if found else at
        if text[at : at + 1] == b'"':
            return at + 1
        if text[at : at + 1] != b"\\":
            raise _refused(text, at, "in string literal")
        escape = _ESCAPE.match(text, at)
        if escape is None:
            if text[at + 1 : at + 2] != b"u":
                raise _refused(text, at + 1, "in string escape code")
            digits = re.match(rb"[0-9a-fA-F]*", text[at + 2 : at + 6])
            raise _refused(text, at + 2 + (digits.end() if digits else 0), "in \\u hexadecimal character escape")
        at = escape.end()


def _number(text: bytes, at: int) -> int:
    found = _NUMBER.match(text, at)
    if found is None:
        raise _refused(text, at + 1, "in numeric literal")
    end = found.end()
    if b"." not in found[0] and b"e" not in found[0].lower() and text[end : end + 1] == b".":
        raise _refused(text, end + 1, "after decimal point in numeric literal")
    if b"e" not in found[0].lower() and text[end : end + 1] in (b"e", b"E"):
        signed = text[end + 1 : end + 2] in (b"+", b"-")
        raise _refused(text, end + (2 if signed else 1), "in exponent of numeric literal")
    return end


def _word(text: bytes, at: int, word: bytes) -> int:
    for offset, char in enumerate(word):
        if text[at + offset : at + offset + 1] != bytes((char,)):
            raise _refused(text, at + offset, f"in literal {word.decode()} (expecting '{chr(char)}')")
    return at + len(word)
