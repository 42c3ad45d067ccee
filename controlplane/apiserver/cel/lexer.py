"""Text to tokens (the lexer rules of cel-go's CEL.g4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.cel.errors import CelError, located
from controlplane.apiserver.cel.values import INT_MAX, UINT_MAX, Uint

RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
"""Words that may be fields, and nothing else."""

_TOKEN = re.compile(
    r"""
    (?P<space>[\t\ \r\n\f]+|//[^\n]*)
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<uint>0x[0-9a-fA-F]+[uU]|\d+[uU])
  | (?P<int>0x[0-9a-fA-F]+|\d+)
  | (?P<string>(?:[bB]?[rR]|[bB])?(?:'''(?s:.)*?(?<!\\)'''|\"\"\"(?s:.)*?(?<!\\)\"\"\"
        |'(?:\\.|[^'\\\n\r])*'|"(?:\\.|[^"\\\n\r])*"))
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<escaped>`[A-Za-z0-9_.\-/\ ]+`)
  | (?P<op>==|!=|<=|>=|&&|\|\||[\[\]{}().,\-!?:+*/%<>])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\"'\\?`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(?s:.)?)"
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    """kind: "op", "ident", "escaped", "const" or "end"; `offset` in characters."""

    kind: str
    text: str
    offset: int
    value: Any = None


def tokens(text: str) -> Iterator[Token]:
    """The tokens, an "end" last. Raises CelError at the first character that begins none."""
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise CelError(located(text, offset, f"Syntax error: token recognition error at: '{text[offset]}'"))
        kind, word = match.lastgroup or "", match.group()
        if kind not in ("space",):
            yield _token(text, kind, word, offset)
        offset = match.end()
    yield Token("end", "<EOF>", len(text))


def _token(text: str, kind: str, word: str, offset: int) -> Token:
    if kind == "int":
        value = int(word, 0) if word.startswith("0x") else int(word)
        if value > INT_MAX + 1:
            raise CelError(located(text, offset, "invalid int literal"))
        return Token("const", word, offset, value)
    if kind == "uint":
        number = int(word[:-1], 0) if word.startswith("0x") else int(word[:-1])
        if number > UINT_MAX:
            raise CelError(located(text, offset, "invalid uint literal"))
        return Token("const", word, offset, Uint(number))
    if kind == "float":
        return Token("const", word, offset, float(word))
    if kind == "string":
        return Token("const", word, offset, _unquote(text, word, offset))
    if kind == "ident" and word in ("true", "false", "null"):
        return Token("const", word, offset, {"true": True, "false": False, "null": None}[word])
    if kind == "ident" and word == "in":
        return Token("op", word, offset)
    return Token(kind, word, offset)


def _unquote(text: str, word: str, offset: int) -> str | bytes:
    prefix = word[: len(word) - len(word.lstrip("rRbB"))].lower()
    body = word[len(prefix) :]
    width = 3 if body[:3] in ("'''", '"""') and len(body) >= 6 else 1
    body = body[width:-width].replace("\r\n", "\n").replace("\r", "\n")
    if "r" in prefix:
        return body.encode() if "b" in prefix else body
    as_bytes = "b" in prefix
    parts: list[bytes] = []
    last = 0
    for match in _ESCAPE.finditer(body):
        parts.append(body[last : match.start()].encode())
        last = match.end()
        plain, byte, short, long, octal = match.groups()
        if plain is not None:
            parts.append(_PLAIN.get(plain, plain).encode())
            continue
        digits = byte or short or long
        if digits is None and octal is None:
            raise CelError(located(text, offset, f"Syntax error: token recognition error at: '{word}'"))
        code = int(octal, 8) if digits is None else int(digits, 16)
        if as_bytes and (byte or octal):
            parts.append(bytes([code]))
        elif code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise CelError(located(text, offset, "invalid unicode code point"))
        else:
            parts.append(chr(code).encode())
    parts.append(body[last:].encode())
    joined = b"".join(parts)
    return joined if as_bytes else joined.decode()
