"""A JSON patch (RFC 6902) in the words of a trace. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

_VALUE_MAX = 60  # characters


def describe_patch(patch: Iterable[Any], *, secret: bool = False) -> Iterator[str]:
    """`+metadata.labels.app: "web"`, `-spec.hostNetwork`, `spec.replicas: 2`; what only tests is left out.

    The patch has been applied, so that it is well-formed. secret: values are for nobody who reads a trace."""
    for step in patch:
        path = _dotted(step["path"])
        match step["op"]:
            case "add":
                yield f"+{path}: {_short(step.get('value'), secret)}"
            case "remove":
                yield f"-{path}"
            case "replace":
                yield f"{path}: {_short(step.get('value'), secret)}"
            case "move" | "copy" as how:
                yield f"{path}: {'moved' if how == 'move' else 'copied'} from {_dotted(step['from'])}"


def _dotted(pointer: str) -> str:
    """A JSON pointer (RFC 6901) as a field path; what is no plain name is put in brackets."""
    found = ""
    for word in pointer.split("/")[1:]:
        word = word.replace("~1", "/").replace("~0", "~")
        plain = word.isidentifier()
        found += (f".{word}" if found else word) if plain else f"[{word}]"
    return found


def _short(value: Any, secret: bool) -> str:
    if secret:
        return "…"
    text = orjson.dumps(value).decode()
    return text if len(text) <= _VALUE_MAX else f"{text[: _VALUE_MAX - 1]}…"
