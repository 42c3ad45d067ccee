"""YAML bodies: one document of JSON's types, built from the parser's events in one pass.

Composing nodes first, as PyYAML's loaders do, takes 10 s for 3 MiB; this takes 2. Aliases multiply: they are refused;
what nests is counted on the way.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import cache
from typing import Any

import yaml

from apimachinery.meta import status

_PREFIX = "tag:yaml.org,2002:"
_STRING, _MERGE = _PREFIX + "str", _PREFIX + "merge"
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Without timestamps: YAML's dates are strings in the API.
_RESOLVERS = {
    first: [(tag, expression) for tag, expression in found if tag != _PREFIX + "timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_ANYWHERE = _RESOLVERS.get(None, [])
_MAX_WHOLE = 2**64
_TURN = 500


def reading(body: bytes, depth: int, again: list[str] | None = None) -> Generator[None, None, Any]:
    """Returns the document; yields now and then (some 3 ms), so that others may be served while a large one is read.
    again: takes what go-yaml says of keys that are there twice.

    Raises ApiError 400 for aliases and for what nests deeper than `depth`, and yaml.YAMLError or ValueError with what
    else is wrong with it.
    """
    made: list[Any] = []  # the one document
    containers: list[Any] = [made]
    keys: list[Any] = [None]  # of the mapping that is being filled: its key, or None where a key comes next
    for number, event in enumerate(yaml.parse(body, Loader=_PARSER), 1):
        if not number % _TURN:
            yield
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value = _scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if len(containers) > depth:
                raise status.bad_request(f"the object provided is nested deeper than {depth} levels")
            containers.append({} if kind is yaml.MappingStartEvent else [])
            keys.append(None)
            continue
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            value = containers.pop()
            keys.pop()
        elif kind is yaml.AliasEvent:
            raise status.bad_request("YAML aliases are not accepted")
        elif kind is yaml.DocumentStartEvent and made:
            raise ValueError("expected a single document in the stream")
        else:
            continue
        if again is not None and len(keys) > 1 and type(keys[-1]) is str and keys[-1] in containers[-1]:
            assert event.start_mark is not None
            again.append(f'line {event.start_mark.line + 1}: key "{keys[-1]}" already set in map')
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
        tag = _STRING
        for candidate, expression in _RESOLVERS.get(text[:1], _ANYWHERE):
            if expression.match(text):
                tag = candidate
                break
        if tag == _MERGE:
            return _Merge(text)
    if tag == _STRING:
        return text
    return _typed(tag, text)


@cache
def _constructor() -> yaml.SafeLoader:
    return yaml.SafeLoader("")


def _typed(tag: str, text: str) -> Any:
    if tag not in (f"{_PREFIX}{kind}" for kind in ("bool", "int", "float", "null")):
        raise ValueError(f"could not determine a constructor for the tag {tag!r}")
    value = _constructor().construct_object(yaml.ScalarNode(tag, text))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"json: unsupported value: {text}")
    return float(value) if type(value) is int and not -_MAX_WHOLE < value < _MAX_WHOLE else value
