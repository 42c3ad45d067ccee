"""The part of Go's text/template that `-o go-template` is used with: paths, `range`, `if`, `index`, `json` and more.

https://pkg.go.dev/text/template
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta.go_print import plain

_TOKEN = re.compile(r'\(|\)|\||"(?:[^"\\]|\\.)*"|`[^`]*`|[^\s()|]+')
_MARK = re.compile(r"(\s*)\{\{(-(?=\s))?(.*?)((?<=\s)-)?\}\}(\s*)", re.DOTALL)


class TemplateError(ValueError):
    """The template cannot be read, or does not fit the data."""


@dataclass(slots=True)
class _Block:
    """`range` and `if`: what to look at, what to write when there is something, what when there is nothing."""

    keyword: str
    pipeline: str
    body: list[Any] = field(default_factory=list)
    otherwise: list[Any] = field(default_factory=list)


def execute(template: str, data: Any) -> str:
    """What the template makes of `data` (JSON). A key that is not there is an error. Raises TemplateError."""
    return "".join(_write(_parse(template), data, data))


def _parse(template: str) -> list[Any]:
    root: list[Any] = []
    open_blocks: list[_Block] = []
    into = root
    at = 0
    for match in _MARK.finditer(template):
        before, trim, action, trim_after, after = match.groups()
        into.append(template[at : match.start()] + ("" if trim else before))
        at = match.end() - (0 if trim_after else len(after))
        keyword, _, rest = action.strip().partition(" ")
        if keyword in ("range", "if"):
            block = _Block(keyword, rest.strip())
            into.append(block)
            open_blocks.append(block)
            into = block.body
        elif keyword == "else" and open_blocks and not rest:
            into = open_blocks[-1].otherwise
        elif keyword == "end" and open_blocks and not rest:
            open_blocks.pop()
            if not open_blocks:
                into = root
            else:
                outer = open_blocks[-1]
                into = outer.otherwise or outer.body
        elif not keyword.startswith("/*"):
            into.append(("print", action.strip()))
    if open_blocks:
        raise TemplateError("failed to generate go-template: template: tmplExecuteRawJSON:1: unexpected EOF")
    into.append(template[at:])
    return root


def _write(parts: list[Any], dot: Any, root: Any) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, _Block):
            found = _evaluate(part.pipeline, dot, root)
            if part.keyword == "if":
                yield from _write(part.body if found else part.otherwise, dot, root)
            elif found:
                each_of = [found[key] for key in sorted(found)] if isinstance(found, dict) else found
                for each in each_of:
                    yield from _write(part.body, each, root)
            else:
                yield from _write(part.otherwise, dot, root)
        else:
            yield _printed(_evaluate(part[1], dot, root))


def _evaluate(pipeline: str, dot: Any, root: Any) -> Any:
    tokens = _TOKEN.findall(pipeline)
    if not tokens:
        raise TemplateError("failed to generate go-template: missing value for command")
    found, rest = _commands(tokens, dot, root)
    if rest:
        raise TemplateError(f"failed to generate go-template: unexpected {rest[0]!r} in command")
    return found


def _commands(tokens: list[str], dot: Any, root: Any) -> tuple[Any, list[str]]:
    """A pipeline up to its end or a closing bracket; the value, and what follows."""
    piped: list[Any] = []
    while True:
        words: list[Any] = []
        while tokens and tokens[0] not in ("|", ")"):
            token, tokens = tokens[0], tokens[1:]
            if token == "(":
                inner, tokens = _commands(tokens, dot, root)
                if not tokens or tokens[0] != ")":
                    raise TemplateError("failed to generate go-template: unclosed left paren")
                words.append(("value", inner))
                tokens = tokens[1:]
            else:
                words.append(("word", token))
        if not words:
            raise TemplateError("failed to generate go-template: missing value for command")
        found = _command(words, piped, dot, root)
        if not tokens or tokens[0] == ")":
            return found, tokens
        piped, tokens = [found], tokens[1:]


def _command(words: list[Any], piped: list[Any], dot: Any, root: Any) -> Any:
    kind, first = words[0]
    if kind == "word" and first in _FUNCTIONS:
        arguments = [_operand(word, dot, root) for word in words[1:]] + piped
        try:
            return _FUNCTIONS[first](*arguments)
        except (TypeError, LookupError) as error:
            raise TemplateError(f"failed to template data: error calling {first}: {error}") from None
    found = _operand(words[0], dot, root)
    rest = words[1:]
    if kind == "value" and len(rest) == 1 and str(rest[0][1]).startswith("."):
        return _operand(rest[0], found, root)
    if rest:
        raise TemplateError(f"failed to template data: can't give argument to non-function {first}")
    return found


def _operand(word: tuple[str, Any], dot: Any, root: Any) -> Any:
    kind, token = word
    if kind == "value":
        return token
    if token[0] in '"`':
        return json.loads(token) if token[0] == '"' else token[1:-1]
    if re.fullmatch(r"-?\d+", token):
        return int(token)
    if token in ("true", "false"):
        return token == "true"
    base = root if token.startswith("$") else dot
    path = token.removeprefix("$")
    if not path.startswith(".") and path:
        raise TemplateError(f'failed to generate go-template: function "{token}" not defined')
    for name in filter(None, path.split(".")):
        if not isinstance(base, dict) or name not in base:
            raise TemplateError(f'failed to template data: map has no entry for key "{name}"')
        base = base[name]
    return base


def _index(base: Any, *keys: Any) -> Any:
    for key in keys:
        base = base[key]
    return base


_FUNCTIONS: dict[str, Any] = {
    "index": _index,
    "len": len,
    "json": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n",
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: re.sub(r"\b\w", lambda match: match[0].upper(), text),
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda first, other: first != other,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "print": lambda *values: "".join(_printed(value) for value in values),
    "printf": lambda form, *values: re.sub(r"%[vs]", "{}", form).format(*map(_printed, values)),
    "println": lambda *values: " ".join(_printed(value) for value in values) + "\n",
}


def _printed(value: Any) -> str:
    return plain(value, "<no value>")
