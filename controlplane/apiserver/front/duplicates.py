"""Keys that a JSON body says twice, as the real server's strict decoder finds them (sigs.k8s.io/json)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

Pairs = list[tuple[str, Any]]
_MOST = 100  # sentences, as there


def duplicate_fields(body: bytes, document: Any) -> list[str]:
    """`duplicate field "spec.containers[0].name"` of each, of the first hundred; document: what orjson made of body.

    A body without spaces and escapes, as most clients send it, costs 1 µs a KiB; others are read once more, in ten
    times that.
    """
    if orjson.dumps(document) == body.rstrip():
        return []
    doubled: dict[int, set[str]] = {}

    def made(pairs: Pairs) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs) and len(doubled) < _MOST:
            counted = Counter(key for key, _ in pairs)
            doubled[id(found)] = {key for key, count in counted.items() if count > 1}
            kept.append(found)
        return found

    kept: list[Any] = []  # alive, so that an id is one object's
    # Numbers are not looked at; int() would refuse 5,000 digits.
    root = json.loads(body, object_pairs_hook=made, parse_int=str, parse_float=str)
    return [f'duplicate field "{path}"' for path in islice(_paths(root, "", doubled), _MOST)] if doubled else []


def _paths(node: Any, path: str, doubled: dict[int, set[str]]) -> Iterator[str]:
    if isinstance(node, dict):
        again = doubled.get(id(node), ())
        for key, below in node.items():
            here = f"{path}.{key}" if path else key
            if key in again:
                yield here
            yield from _paths(below, here, doubled)
    elif isinstance(node, list):
        for position, below in enumerate(node):
            yield from _paths(below, f"{path}[{position}]", doubled)
