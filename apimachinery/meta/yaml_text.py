"""YAML as go-yaml reads it: the first document, of JSON's types, built from the parser's events in one pass.

Composing nodes first, as PyYAML's loaders do, takes 10 s for 3 MiB; this takes 2. Aliases multiply: they are refused in
what strangers send, and bounded in files; what nests is counted on the way.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Generator, Sequence
from typing import Any

import yaml

from apimachinery.meta import status

_PREFIX = "tag:yaml.org,2002:"
_STRING = _PREFIX + "str"
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YES = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_NO = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_NOTHING = ("", "~", "null", "Null", "NULL")
_WORDS = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False), **dict.fromkeys(_NOTHING)}
_ENDLESS = (*(sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")), ".nan", ".NaN", ".NAN")
_NUMERIC = frozenset("+-.0123456789")
_WHOLE = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES = {"x": 16, "b": 2, "o": 8}
_DIGITS = 100  # more than any whole number of 64 bits has
_KINDS = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}
_TURN = 500
_FILE_DEPTH = 200
_ALIASED = 400_000  # values; what go-yaml lets through whatever the rest of the document is like


class BadYaml(ValueError):
    """What go-yaml says of a text that it does not read."""


def load(text: str | bytes, again: list[str] | None = None) -> Any:
    """The first document of a file, None when it says nothing. again: as of `reading`. Raises BadYaml."""
    reader = reading(text, _FILE_DEPTH, again, _Anchors())
    try:
        while True:
            next(reader)
    except StopIteration as end:
        return end.value
    except status.ApiError as error:
        raise BadYaml(f"yaml: {error.message}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise BadYaml(f"yaml: {sentence(error)}") from None


def unmarshal_errors(again: Sequence[str]) -> str:
    """The sentence of strict decoding about keys that are there twice."""
    return "\n  ".join(("yaml: unmarshal errors:", *again))


def sentence(error: Exception) -> str:
    """What go-yaml says of the same fault: both are libyaml's parser, and count lines as it does."""
    if isinstance(error, yaml.reader.ReaderError):
        return str(error.reason)
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem:
        return " ".join(str(error).split())
    marks = (mark.line for mark in (error.problem_mark, error.context_mark) if mark is not None and mark.line)
    line = next(marks, 0)
    if line and isinstance(error, yaml.scanner.ScannerError) and error.problem_mark and error.problem_mark.line:
        line += 1
    return f"line {line}: {error.problem}" if line else str(error.problem)


class _Anchors:
    """What a document has named so far, and how much of it has been repeated."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}
        self._repeated = 0

    def name(self, anchor: str, value: Any) -> None:
        self._named[anchor] = value

    def copied(self, anchor: str, unfinished: Sequence[Any]) -> Any:
        """The value again, for nobody expects two fields to be one object. Raises ValueError."""
        if anchor not in self._named:
            raise ValueError(f"unknown anchor '{anchor}' referenced")
        value = self._named[anchor]
        if any(value is each for each in unfinished):
            raise ValueError(f"anchor '{anchor}' value contains itself")
        self._repeated += _size(value)
        if self._repeated > _ALIASED:
            raise ValueError("document contains excessive aliasing")
        return copy.deepcopy(value)


def _size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def reading(
    body: str | bytes, depth: int, again: list[str] | None = None, anchors: _Anchors | None = None
) -> Generator[None, None, Any]:
    """Returns the document (the first of several, as upstream); yields now and then (some 3 ms), so that others may be
    served while a large one is read. again: takes what go-yaml says of keys that are there twice.

    Raises ApiError 400 for aliases without `anchors` and for what nests deeper than `depth`, and yaml.YAMLError or
    ValueError with what else is wrong with it.
    """
    made: list[Any] = []  # the one document
    containers: list[Any] = [made]
    keys: list[Any] = [None]  # of the mapping that is being filled: its key, or None where a key comes next
    lines: list[int] = []  # where the containers begin: of what is there twice that line is told
    event: Any
    for number, event in enumerate(yaml.parse(body, Loader=_PARSER), 1):
        if not number % _TURN:
            yield
        kind, line = type(event), event.start_mark.line
        if kind is yaml.ScalarEvent:
            value = _scalar(event)
            if anchors is not None and event.anchor is not None:
                anchors.name(event.anchor, value)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if len(containers) > depth:
                raise status.bad_request(f"the object provided is nested deeper than {depth} levels")
            containers.append({} if kind is yaml.MappingStartEvent else [])
            keys.append(None)
            lines.append(line)
            if anchors is not None and event.anchor is not None:
                anchors.name(event.anchor, containers[-1])
            continue
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            value, line = containers.pop(), lines.pop()
            keys.pop()
        elif kind is yaml.AliasEvent:
            if anchors is None:
                raise status.bad_request("YAML aliases are not accepted")
            value = anchors.copied(event.anchor, containers)
        elif kind is yaml.DocumentEndEvent:
            break
        else:
            continue
        if again is not None and len(keys) > 1 and type(keys[-1]) is str and keys[-1] in containers[-1]:
            again.append(f'line {line + 1}: key "{keys[-1]}" already set in map')
        _put(containers, keys, value)
    return made[0] if made else None


def _put(containers: list[Any], keys: list[Any], value: Any) -> None:
    container = containers[-1]
    if type(container) is list:
        container.append(value)
    elif keys[-1] is None:
        keys[-1] = value if type(value) is _Merge else _key(value)
    else:
        if type(keys[-1]) is _Merge:
            for below in value if isinstance(value, list) else [value]:
                if not isinstance(below, dict):
                    raise ValueError("map merge requires map or sequence of maps as the value")
                for name, inner in below.items():
                    container.setdefault(name, inner)
        else:
            container[keys[-1]] = value
        keys[-1] = None


class _Merge(str):
    """The key `<<`."""

    __slots__ = ()


def _key(value: Any) -> str:
    """Keys are strings in JSON; sigs.k8s.io/yaml spells numbers and booleans."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(f"unsupported map key: {value!r}")


def _scalar(event: Any) -> Any:
    text, tag = event.value, event.tag
    if tag is None or tag == "!":
        if not event.implicit[0]:
            return text
        return _Merge(text) if text == "<<" else plain(text)
    if tag == _STRING:
        return text
    return _typed(tag, text)


def plain(text: str) -> Any:
    """What a plain scalar is to go-yaml's second version, through which YAML becomes JSON there: YAML 1.1 with `y` and
    `n`, without numbers of base 60 and dates, and with 1e3, a whole number once it has been JSON."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if text in _ENDLESS:
        raise ValueError(f"json: unsupported value: {text}")
    bare = text if text[0] == "." else text.replace("_", "")
    if len(bare) < _DIGITS and _WHOLE.fullmatch(bare):
        number = _whole(bare)
        if -(1 << 63) <= number < 1 << (63 if bare[0] in "+-" else 64):
            return number
    if _DECIMAL.fullmatch(bare) and math.isfinite(value := float(bare)):
        return int(value) if value.is_integer() and abs(value) < 1 << 63 else value
    return text


def _whole(text: str) -> int:
    """As Go's ParseInt reads a number of any base: a leading zero makes it octal."""
    digits = text.lstrip("+-")
    number = int(digits, _BASES.get(digits[1:2].lower(), 8) if digits[0] == "0" else 10)
    return -number if text[0] == "-" else number


def _typed(tag: str, text: str) -> Any:
    wanted = tag.removeprefix(_PREFIX)
    if tag == wanted or wanted not in ("bool", "int", "float", "null"):
        raise ValueError(f"could not determine a constructor for the tag {tag!r}")
    value = plain(text)
    found = _KINDS[type(value)]
    if found != wanted and (found, wanted) != ("int", "float"):
        raise ValueError(f"cannot decode !!{found} `{text}` as a !!{wanted}")
    return value
