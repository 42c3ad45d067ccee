"""Who manages which field: sets of paths and their wire form, FieldsV1 (KEP-555, structured-merge-diff).

A path is a tuple of steps: `f:NAME` for a field, `k:{"key":value}` for an item of a keyed list, `v:VALUE` for an item
of a set. `.` stands for the item itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from apimachinery.meta.patches import PatchMeta

Step = str
Fields = frozenset[tuple[Step, ...]]

# Every object has these, and nobody manages them.
_UNMANAGED = frozenset({("f:apiVersion",), ("f:kind",)})
_UNMANAGED_METADATA = frozenset(
    f"f:{name}"
    for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "resourceVersion", "generation")
) | {"f:managedFields", "f:deletionTimestamp", "f:deletionGracePeriodSeconds"}


def fields_of(obj: Mapping[str, Any], schema: PatchMeta) -> Fields:
    """Every leaf that an applied object sets."""
    found = frozenset(_walk(obj, schema, ()))
    return frozenset(
        path
        for path in found
        if path not in _UNMANAGED and not (path[0] == "f:metadata" and len(path) > 1 and path[1] in _UNMANAGED_METADATA)
    )


def _walk(value: Any, schema: PatchMeta | None, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    if isinstance(value, dict) and value:
        for name, below in value.items():
            meta = schema.field(name) if schema is not None else None
            here = (*path, f"f:{name}")
            if isinstance(below, list) and meta is not None and "merge" in meta.strategies:
                for item in below:
                    if meta.merge_key and isinstance(item, dict):
                        step = (*here, _key(meta.merge_key, item))
                        yield (*step, ".")
                        yield from _walk(item, meta.schema, step)
                    else:
                        yield (*here, "v:" + orjson.dumps(item).decode())
            elif isinstance(below, list):
                yield here
            else:
                yield from _walk(below, meta.schema if meta is not None else None, here)
    else:
        yield path


def _key(merge_key: str, item: Mapping[str, Any]) -> Step:
    return "k:" + orjson.dumps({merge_key: item.get(merge_key)}).decode()


def to_wire(fields: Fields) -> dict[str, Any]:
    """The FieldsV1 of a set."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def from_wire(tree: Mapping[str, Any], path: tuple[Step, ...] = ()) -> Fields:
    """The set of a FieldsV1. What is not a set of steps is passed over."""
    found: set[tuple[Step, ...]] = set()
    for step, below in tree.items():
        here = (*path, step)
        if isinstance(below, Mapping) and below:
            found |= from_wire(below, here)
        else:
            found.add(here)
    return frozenset(found)


MISSING = object()


def value_at(obj: Any, path: tuple[Step, ...]) -> Any:
    """What the object has there; MISSING when it has nothing."""
    node = obj
    for step in path:
        if step == ".":
            continue
        if step.startswith("f:"):
            if not isinstance(node, dict) or step[2:] not in node:
                return MISSING
            node = node[step[2:]]
        else:
            position = _position(node, step)
            if position is None:
                return MISSING
            node = node[position]
    return node


def remove(obj: Any, path: tuple[Step, ...]) -> None:
    """Take the value away, in place; nothing when it is not there."""
    *parents, last = path if path[-1] != "." else path[:-1]
    node = value_at(obj, tuple(parents))
    if last.startswith("f:"):
        if isinstance(node, dict):
            node.pop(last[2:], None)
    elif isinstance(node, list) and (position := _position(node, last)) is not None:
        del node[position]


def _position(node: Any, step: Step) -> int | None:
    if not isinstance(node, list):
        return None
    try:
        wanted = orjson.loads(step[2:])
    except orjson.JSONDecodeError:
        return None
    for position, item in enumerate(node):
        if step.startswith("v:"):
            if item == wanted:
                return position
        elif isinstance(item, dict) and isinstance(wanted, dict) and all(item.get(k) == v for k, v in wanted.items()):
            return position
    return None


def spell(path: tuple[Step, ...]) -> str:
    """A path as conflicts show it: `.spec.containers[name="web"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += "." + step[2:]
        elif step.startswith("k:"):
            pairs = ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in orjson.loads(step[2:]).items())
            text += f"[{pairs}]"
        elif step != ".":
            text += f"[={step[2:]}]"
    return text
