"""JSON as Go's encoding/json writes it: text that a browser could take for markup, or a script's line end, is escaped
(its HTMLEscape). So is what a kube-apiserver answers, and what its audit log says of a query."""

from __future__ import annotations

from typing import Any

import orjson

_ESCAPES = tuple((char.encode(), f"\\u{ord(char):04x}".encode()) for char in "<>&\u2028\u2029")


def encode(document: Any, *, indented: bool = False) -> bytes:
    """Raises orjson.JSONEncodeError for what JSON cannot say."""
    return escaped(orjson.dumps(document, option=orjson.OPT_INDENT_2 if indented else None))


def escaped(data: bytes) -> bytes:
    """data: JSON, where these characters are in strings alone."""
    for char, escape in _ESCAPES:
        if char in data:
            data = data.replace(char, escape)
    return data
