"""Items of a set, or keys of a map, that come again in a list
(k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype). Judged beside the schema: an update is not refused for
it when the object had such items before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from apimachinery.meta.paths import Path, Problem, duplicate, invalid
from controlplane.apiserver.extensions.go_values import go_value

Schema = Mapping[str, Any]


def unique_problems(schema: Schema, value: Any, path: Path) -> Iterator[Problem]:
    """Of a value and everything in it."""
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, inner in value.items():
            below = properties.get(name)
            if below is not None:
                yield from unique_problems(below, inner, path.child(name))
            elif isinstance(more, dict):
                yield from unique_problems(more, inner, path.key(name))
    elif isinstance(value, list):
        yield from _list(schema, value, path)
        items = schema.get("items")
        if isinstance(items, dict):
            for position, item in enumerate(value):
                yield from unique_problems(items, item, path.index(position))


def _list(schema: Schema, value: list[Any], path: Path) -> Iterator[Problem]:
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        yield from _twice(value, path)
    elif kind == "map":
        for position, item in enumerate(value):
            if item is not None and not isinstance(item, dict):
                sentence = "must be an object for an array of list-type map"
                yield invalid(path.index(position), go_value(item), sentence)
                return
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        yield from _twice([{key: item[key] for key in keys if key in item} if item else {} for item in value], path)


def _twice(found: list[Any], path: Path) -> Iterator[Problem]:
    """Each of them once, where it comes for the second time."""
    seen: dict[bytes, int] = {}
    for position, each in enumerate(found):
        spelled = orjson.dumps(each, option=orjson.OPT_SORT_KEYS)
        seen[spelled] = seen.get(spelled, 0) + 1
        if seen[spelled] == 2:
            yield duplicate(path.index(position), go_value(each))
